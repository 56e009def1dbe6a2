"""Pages of text are plain Markdown, as GitHub shows it; the book makes more of it.

    <!-- buttons -->             a paragraph of links becomes buttons, the first one filled
    <!-- cards -->               a list whose items begin with a link becomes a grid of cards,
                                 those of chapters with their number

each up to `<!-- end of buttons -->` or `<!-- end of cards -->`. The picture of an explorer becomes
the explorer itself; a line in italics right below it is for readers of the file. An anchor becomes
a label.
"""

import re
import textwrap

BLOCK = re.compile(r"^<!-- (buttons|cards) -->\n(.*?)^<!-- end of \1 -->$", re.M | re.S)
LINK = re.compile(r"\[([^\]]+)\]\((\w+)\.(?:md|ipynb)\)")
CARD = re.compile(rf"^\* {LINK.pattern}\n((?:\n| .*\n)*)", re.M)
PICTURE = re.compile(r"^!\[.*\]\(\S*/explorer/pictures/([\w-]+)\.webp\)(?:\\\n\*.*\*)?$", re.M)
LABEL = re.compile(r'^<a id="([\w-]+)"></a>\n\n', re.M)

BUTTON = "```{{button-ref}} {1}\n:ref-type: doc\n:color: primary\n{2}\n{0}\n```\n"
GRID = "::::{{grid}} 1 2 2 2\n:gutter: 3\n\n{0}::::"
ITEM = ":::{{grid-item-card}} {0}\n:link: {1}\n:link-type: doc\n\n{2}\n:::\n"


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


def with_directives(text):
    """What the book reads, of a page as it stands in its file."""
    make = {"buttons": buttons, "cards": cards}
    text = LABEL.sub(r"(\1)=\n", text)
    text = BLOCK.sub(lambda block: make[block[1]](block[2]), text)
    return PICTURE.sub(lambda picture: f"```{{explorer}} {picture[1]}\n```", text)


def read_source(app, docname, source):
    if app.env.doc2path(docname).endswith(".md"):
        source[0] = with_directives(source[0])


def setup(app):
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
