"""Pages of text are plain Markdown, as GitHub shows it; the book makes more of it.

    <!-- buttons -->             a paragraph of links becomes buttons, the first one filled
    <!-- cards -->               a list whose items begin with a link becomes a grid of cards,
                                 those of chapters with their number
    <!-- bibliography -->        a sentence for readers of the file becomes the list

each up to `<!-- end of buttons -->` and so on. The picture of an explorer becomes the explorer
itself; a line in italics right below it is for readers of the file. A line that is a link to a
module becomes its documentation: of all its names, or of those behind a colon. An anchor becomes a
label, and `<details>` a fold; a link to the address of a cited work becomes a citation.
"""

import functools
import re
import sys
import textwrap
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from tools.labels import citations
from tools.plain import MODULE

BLOCK = re.compile(
    r"^<!-- (buttons|cards|bibliography) -->\n(.*?)^<!-- end of \1 -->$", re.M | re.S
)
LINK = re.compile(r"\[([^\]]+)\]\((\w+)\.(?:md|ipynb)\)")
CARD = re.compile(rf"^\* {LINK.pattern}\n((?:\n| .*\n)*)", re.M)
PICTURE = re.compile(r"^!\[.*\]\(\S*/explorer/pictures/([\w-]+)\.webp\)(?:\\\n\*.*\*)?$", re.M)
MEMBERS_OF = re.compile(rf"{MODULE.pattern}(?:: (.+))?$", re.M)
ADDRESS = re.compile(r"\]\((https?://[^()\s]+)\)")
FOLD = re.compile(r"^<details>\n<summary>([^\n]*)</summary>\n\n(.*?)\n\n</details>$", re.M | re.S)
LABEL = re.compile(r'^<a id="([\w-]+)"></a>\n\n', re.M)

BUTTON = "```{{button-ref}} {1}\n:ref-type: doc\n:color: primary\n{2}\n{0}\n```\n"
GRID = "::::{{grid}} 1 2 2 2\n:gutter: 3\n\n{0}::::"
ITEM = ":::{{grid-item-card}} {0}\n:link: {1}\n:link-type: doc\n\n{2}\n:::\n"
MEMBERS = "```{{eval-rst}}\n.. automodule:: {0}\n   :members: {1}\n```"
BIBLIOGRAPHY = "```{bibliography}\n:all:\n```"


def buttons(text):
    links = enumerate(LINK.findall(text))
    return "\n".join(BUTTON.format(*link, ":outline:\n" if place else "") for place, link in links)


def cards(text):
    made = []
    for title, page, body in CARD.findall(text):
        number = re.match(r"0*(\d*)", page)[1]  # of a chapter
        title = f"{number}. {title}" if number else title
        made.append(ITEM.format(title, page, textwrap.dedent(body).strip()))
    return GRID.format("\n".join(made))


@functools.cache
def cited():
    """What the book calls a work, by the address that its entry gives."""
    known = {address: f"#{key}" for key, (address, _) in citations().items()}
    known.pop("bibliography.md", None)  # of works without an address
    return known


def with_directives(text):
    """What the book reads, of a page as it stands in its file."""
    make = {"buttons": buttons, "cards": cards, "bibliography": lambda _: BIBLIOGRAPHY}
    text = LABEL.sub(r"(\1)=\n", text)
    text = BLOCK.sub(lambda block: make[block[1]](block[2]), text)
    text = FOLD.sub(lambda fold: f"````{{dropdown}} {fold[1]}\n{fold[2]}\n````", text)
    text = MEMBERS_OF.sub(lambda module: MEMBERS.format(module[1], module[2] or ""), text)
    text = ADDRESS.sub(lambda link: f"]({cited().get(link[1], link[1])})", text)
    return PICTURE.sub(lambda picture: f"```{{explorer}} {picture[1]}\n```", text)


def read_source(app, docname, source):
    if app.env.doc2path(docname).endswith(".md"):
        source[0] = with_directives(source[0])


def setup(app):
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
