"""Signs before numbers, and after formulas, as a printer would set them.

Python prints a hyphen where a minus sign belongs: it is short, sits low and may end a line. No line
ends between a number and the ± or = in front of it, or the ± or % behind it, and none begins with
the full stop or comma after a formula, where a browser may break since it takes a formula for a
picture. Code, its printed output and formulas stay as they are.
"""

import re

from docutils import nodes

RULES = (
    (re.compile(r"(?<![\w.−-])-(?=\d)"), "−"),
    (re.compile(r"(?<=[\d%]) ± (?=\d)"), "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"),
    (re.compile(r"± (?=\d)"), "±\N{NO-BREAK SPACE}"),
    (re.compile(r"(?<=\d) (?=%)"), "\N{NO-BREAK SPACE}"),
    (re.compile(r"(?<=\w) = (?=[−\d])"), "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"),
)
PUNCTUATION = re.compile(r"[.,;:!?)\]’”]+")
VERBATIM = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw)


def is_verbatim(node):
    while node is not None and not isinstance(node, VERBATIM):
        node = node.parent
    return node is not None


def follows_a_number(text):
    """Whether a bold number, say, stands before it."""
    position = text.parent.index(text)
    return position > 0 and text.parent[position - 1].astext()[-1:].isdigit()


def set_signs(app, doctree, docname):
    for text in list(doctree.findall(nodes.Text)):
        better = str(text)
        for pattern, sign in RULES:
            better = pattern.sub(sign, better)
        if better.startswith(" %") and follows_a_number(text):
            better = "\N{NO-BREAK SPACE}" + better[1:]
        if better != text and not is_verbatim(text.parent):
            text.parent.replace(text, nodes.Text(better))


def hold_punctuation(app, doctree, docname):
    for formula in list(doctree.findall(nodes.math)):
        parent = formula.parent
        position = parent.index(formula)
        after = parent[position + 1] if position + 1 < len(parent) else None
        if isinstance(after, nodes.Text) and (signs := PUNCTUATION.match(after)):
            rest = nodes.Text(after[signs.end() :])
            held = nodes.inline("", "", formula, nodes.Text(signs.group()), classes=["held"])
            parent[position : position + 2] = [held, rest]


def setup(app):
    app.connect("doctree-resolved", set_signs)
    app.connect("doctree-resolved", hold_punctuation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
