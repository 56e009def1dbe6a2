"""Tables that a phone can show.

A table of words has three columns or more, and two of them with sentences: each row becomes a card.
Every cell but the first in its row gets the name of its column, which the style sheet shows on
narrow screens only. In a table of numbers the long words of its head may break at their syllables;
not every browser knows where those are.
"""

import re

from docutils import nodes

SYLLABLES = (
    "auto-encoder",
    "con-fi-dence",
    "de-cod-ings",
    "en-coder",
    "likeli-hood",
    "pre-ci-sion",
    "recon-struc-tion",
    "vari-ance",
)
BREAKS = {word.replace("-", ""): word.replace("-", "\N{SOFT HYPHEN}") for word in SYLLABLES}
SENTENCE = 24  # characters that no cell of a phone's table holds on one line


def cells_of(row):
    return [entry for entry in row.children if isinstance(entry, nodes.entry)]


def is_wordy(columns, rows):
    longest = [max(len(cells[i].astext()) for cells in rows) for i in range(columns)]
    return columns > 2 and sum(length > SENTENCE for length in longest) > 1


def break_words(head):
    for text in list(head.findall(nodes.Text)):
        words = re.sub(r"[a-z]+", lambda match: BREAKS.get(match[0], match[0]), str(text))
        if words != text:
            text.parent.replace(text, nodes.Text(words))


def fit_tables(app, doctree, docname):
    for table in doctree.findall(nodes.table):
        head = next(table.findall(nodes.thead), None)
        if head is None:
            continue
        names = cells_of(head.children[-1])
        rows = [cells_of(row) for row in next(table.findall(nodes.tbody)).children]
        if any(len(cells) != len(names) for cells in rows) or not is_wordy(len(names), rows):
            break_words(head)
            continue
        table["classes"].append("stacked")
        for cells in rows:
            for name, cell in list(zip(names, cells, strict=True))[1:]:
                words = [part.deepcopy() for text in name.children for part in text.children]
                cell.insert(0, nodes.inline("", "", *words, classes=["column-name"]))


def setup(app):
    app.connect("doctree-resolved", fit_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
