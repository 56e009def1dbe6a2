"""A minus sign before a number, where Python has printed a hyphen.

A hyphen is short, sits low and may end a line; in a table of log-likelihoods every entry begins
with one. Code, its printed output and formulas stay as they are.
"""

import re

from docutils import nodes

HYPHEN_BEFORE_NUMBER = re.compile(r"(?<![\w.−-])-(?=\d)")
VERBATIM = (nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw)


def is_verbatim(node):
    while node is not None and not isinstance(node, VERBATIM):
        node = node.parent
    return node is not None


def set_signs(app, doctree, docname):
    for text in list(doctree.findall(nodes.Text)):
        if HYPHEN_BEFORE_NUMBER.search(text) and not is_verbatim(text.parent):
            text.parent.replace(text, nodes.Text(HYPHEN_BEFORE_NUMBER.sub("−", text)))


def setup(app):
    app.connect("doctree-resolved", set_signs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
