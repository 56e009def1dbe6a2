"""What the search page looks through: the text of every section, in a script, so from disk too.

Sphinx's own index knows in which pages a word stands; its search page fetches those pages to show
where, which browsers refuse to do from disk. `sections.js` holds all sections with their texts, and
`search.js` finds in them.
"""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx_exercise.nodes import exercise_enumerable_node, exercise_node

SILENT = (nodes.raw, nodes.comment, nodes.math_block, nodes.image, nodes.system_message)
EXERCISES = (exercise_node, exercise_enumerable_node)


def is_place(node):
    """Whether it has a name and an address: a section or an exercise, whose own body is neither."""
    named = isinstance(node, (nodes.section, *EXERCISES)) and node.children and node["ids"]
    return bool(named) and isinstance(node.children[0], nodes.title)


def is_spare(node):
    """Whether a cell's output says the same in another form, such as `<Figure size …>`."""
    return node.get("mime_type") == "text/plain" and len(node.parent) > 1


def words_of(node):
    """The text under a node without that of places inside it; only plain formulas stay."""
    if isinstance(node, nodes.Text):
        return str(node)
    if isinstance(node, SILENT) or is_spare(node) or is_place(node):
        return ""
    if isinstance(node, nodes.math):
        return node.astext() if re.fullmatch(r"[\w\s=(),.|+-]+", node.astext()) else "…"
    between = "" if isinstance(node, nodes.TextElement) else " "
    return between.join(words_of(child) for child in node.children)


def sections_of(doctree):
    for place in doctree.findall(is_place):
        title, *rest = place.children
        name = words_of(title)
        if isinstance(place, EXERCISES):
            name = re.sub(r"^(Exercise)\W*(.*?)\)?$", r"\1: \2", name)
        text = " ".join(words_of(node) for node in rest)
        yield place["ids"][0], name, re.sub(r"\s+", " ", text).strip()


def write_sections(app, pagename, templatename, context, doctree):
    if pagename != "search":
        return
    pages = []
    for docname in sorted(app.env.found_docs):
        sections = list(sections_of(app.env.get_doctree(docname)))
        if sections:
            number = app.env.titles[docname].get("secnumber", ())
            title = " ".join([*(f"{n}." for n in number), sections[0][1]])
            pages.append([app.builder.get_target_uri(docname), title, sections])
    script = f"const SECTIONS = {json.dumps(pages, ensure_ascii=False)};\n"
    Path(app.outdir, "_static", "sections.js").write_text(script, encoding="utf8")
    app.add_js_file("sections.js", loading_method="defer")
    app.add_js_file("search.js", loading_method="defer")


def setup(app):
    app.connect("html-page-context", write_sections)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
