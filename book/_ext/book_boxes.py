"""Boxes that open and close are `<details>`.

Every solution of an exercise, admonition or other box with `:class: dropdown` becomes one. It
needs no script, and keyboards and screen readers know it.
"""

from docutils import nodes


class Folded(nodes.General, nodes.Element):
    pass


class FoldedTitle(nodes.TextElement):
    pass


def fold(app, doctree, docname):
    for section in list(doctree.findall(nodes.section)):
        # sphinx_exercise gives the bodies of all exercises the same id, which must be unique.
        if section["ids"] in (["exercise-content"], ["solution-content"]):
            section["ids"] = []
            section.replace_self(section.children)
    for box in list(doctree.findall(nodes.Admonition)):
        if "dropdown" in box["classes"]:
            title, *body = box.children
            box.replace_self(
                Folded("", FoldedTitle("", "", *title.children), *body, classes=["folded"])
            )


def unname_hidden_cells(app, pagename, templatename, context, doctree):
    """A hidden cell's summary says "Show the source"; its other name would contradict it."""
    if "body" in context:
        context["body"] = context["body"].replace(' aria-label="Toggle hidden content"', "")


def setup(app):
    app.add_node(
        Folded,
        html=(
            lambda writer, node: writer.body.append(writer.starttag(node, "details")),
            lambda writer, node: writer.body.append("</details>\n"),
        ),
    )
    app.add_node(
        FoldedTitle,
        html=(
            lambda writer, node: writer.body.append("<summary>"),
            lambda writer, node: writer.body.append("</summary>\n"),
        ),
    )
    app.connect("doctree-resolved", fold)
    app.connect("html-page-context", unname_hidden_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
