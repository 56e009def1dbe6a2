"""The chapters in Markdown that every notebook program can show.

The book reads MyST: numbered equations, exercises, figures with captions, links to labels. Of that
JupyterLab, Colab, VS Code and GitHub would show the markup, so `tools/notebooks.py` writes the
notebooks in plain Markdown and LaTeX with the numbers of the book, and `book/_ext/book_sources.py`
gives the book the MyST back. What is converted here is what the chapters use, and nothing else: a
directive that is not known is an error.
"""

import base64
import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.labels import BOOK, EQUATION, LABEL, NUMBERED, citations, places
from tools.repository import PLACEHOLDER, address, pages_of

IMAGE = re.compile(r"!\[(.*?)\]\((\S+?)\)", re.DOTALL)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])+)\]\(#([\w-]+)\)")
OPENING = re.compile(r"^(:{3,})\{([\w-]+)\} *(.*)$")
OPTION = re.compile(r"^:([\w-]+): *(.*)$")
MODULE = re.compile(r"^\[`(aevb_lib[\w.]*)`\]\(\.\./aevb_lib/[\w/]+\.py\)", re.MULTILINE)
MATH = re.compile(r"\$\$.*?\$\$|\$[^$]+\$", re.DOTALL)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
EXPLORER = re.compile(r"^explorer\.embed\(", re.MULTILINE)


@dataclass
class Converter:
    """Converts the cells of one chapter, from its first to its last.

    Attributes:
        page: Name of the notebook.
        solution: Label of the exercise whose solution is open at this point.
        is_begun: Whether something of that solution has been written.
    """

    page: str
    solution: str | None = None
    is_begun: bool = False
    cells: list[Any] = field(default_factory=list)

    def convert(self, cells):
        """The cells in plain Markdown: a figure's caption gets one of its own, behind its code."""
        for cell in cells:
            if cell.cell_type == "markdown":
                self.add_text(self.markdown(cell.source))
            else:
                self.add_code(cell)
        return self.cells

    def add_text(self, text):
        if text:
            self.cells.append({"cell_type": "markdown", "metadata": {}, "source": text})

    def add_code(self, cell):
        metadata = {key: value for key, value in cell.metadata.items() if key != "mystnb"}
        tags = set(metadata.get("tags", ()))
        # What the book removes because it is alive with a kernel only is here for its reader.
        is_removed = "remove-cell" in tags and "nbval-ignore-output" not in tags
        folded = {}
        if self.solution or is_removed or tags & {"remove-input", "hide-input"}:
            folded["source_hidden"] = True  # JupyterLab; VS Code and GitHub know no such thing
            metadata["cellView"] = "form"  # Colab
        if self.solution or is_removed:
            folded["outputs_hidden"] = True
        if folded:
            metadata["jupyter"] = folded
        if self.solution and not self.is_begun:
            self.add_text(f"*{self.solution_title()}: its code, here and below.*")
        shown = cell.metadata.get("mystnb", {})
        figure = shown.get("figure")
        is_led_to = figure and self.lead_to(figure["name"])
        self.cells.append({"cell_type": "code", "metadata": metadata, "source": cell.source})
        if EXPLORER.search(cell.source) and (page := self.page_of_the_book()):
            self.add_text(f"*Where nothing runs: the explorer is alive in [the book]({page}).*")
        if figure:
            caption = self.caption(figure["name"], figure["caption"])
            anchor = "" if is_led_to else _anchor(figure["name"])
            words = _folded("The figure in words", shown["image"]["alt"])
            self.add_text(f"{anchor}{caption}\n\n{words}")

    def page_of_the_book(self):
        """Its address on the repository's GitHub Pages; nothing before there is a repository."""
        slug = address()
        page = f"https://{pages_of(slug)}/book/{Path(self.page).stem}.html"
        return "" if slug == PLACEHOLDER else page

    def lead_to(self, name):
        """Let links to a figure end at the words before it, if there are any: not below it."""
        before = self.cells[-1] if self.cells else {"cell_type": "code"}
        is_led_to = before["cell_type"] == "markdown" and before["source"][-1] in ".:)"
        if is_led_to:
            before["source"] += _anchor(name).strip()
        return is_led_to

    def caption(self, name, text):
        return f"**{_name(places()[name])}.** {self.inline(text).strip()}"

    def markdown(self, source):
        """One cell of text; directives do not nest, except that solutions hold others."""
        lines, parts, text = source.split("\n"), [], []
        while lines:
            line = lines.pop(0)
            opening = OPENING.match(line)
            if opening is None:
                text.append(line)
                continue
            self.flush(parts, text)
            colons, name, title = opening.groups()
            end = lines.index(colons)
            block, lines = lines[:end], lines[end + 1 :]
            options = {}
            while block and (option := OPTION.match(block[0])):
                options[option[1]] = option[2]
                block.pop(0)
            self.directive(parts, name, title, options, "\n".join(block).strip())
        self.flush(parts, text)
        return "\n\n".join(parts)

    def flush(self, parts, text):
        """Write what has been read up to here, folded if it belongs to a solution."""
        words = self.inline("\n".join(text)).strip()
        text.clear()
        if words and self.solution:
            words = _folded(self.solution_title(), words)
        if words:
            parts.append(words)

    def solution_title(self):
        title = f"Solution of {_name(places()[self.solution])}"
        title, self.is_begun = (f"{title}, continued" if self.is_begun else title), True
        return title

    def directive(self, parts, name, title, options, body):
        if name in ("exercise", "exercise-start"):
            label = options["label"]
            heading = f"{_anchor(label)}### {_name(places()[label])}: {self.inline(title)}"
            parts.append(f"{heading}\n\n{self.inline(body)}".strip())
        elif name == "solution":
            parts.append(_folded(f"Solution of {_name(places()[title])}", self.markdown(body)))
        elif name == "solution-start":
            self.solution, self.is_begun = title, False
        elif name in ("solution-end", "exercise-end"):
            self.solution = None
        elif name == "figure-md":
            image, caption = body.split("\n\n", 1)
            parts.append(f"{_anchor(title)}{_embedded(image)}\n\n{self.caption(title, caption)}")
        elif name in ("note", "warning", "admonition"):
            heading = self.inline(title) or name.capitalize()
            parts.append(_quoted(f"**{heading}**\n\n{self.inline(body)}"))
        else:
            raise ValueError(f"{self.page}: notebooks have no form for the directive {name}")

    def inline(self, text):
        """Labels, numbered equations and links; what is code stays as it is."""
        text = LABEL.sub(lambda match: _anchor(match[1]).strip() + "\n", text)
        text = EQUATION.sub(_numbered_equation, text)
        code = [span.span() for span in CODE.finditer(text)]

        def link(match):
            if any(start < match.start() < end for start, end in code):
                return match[0]
            words, label = match.groups()
            paragraph = text[: match.start()].rsplit("\n\n", 1)[-1]
            address, number = self.target(label)
            if not number or number in words:
                return f"[{words}]({address})"
            if not number.startswith("("):
                is_inside = paragraph.count("(") > paragraph.count(")")
                number = f", {number}" if is_inside else f" ({number})"
            else:
                number = f" {number}"
            return f"[{words}{number}]({address})"

        return LINK.sub(link, text)

    def target(self, label):
        """Address and number of what a link points to; of a citation, the year."""
        place = places().get(label)
        if place is None:
            return citations()[label]
        if place.page == self.page:
            return f"#{label}", _name(place)
        page = f"{place.page}#{label}" if place.page.endswith(".ipynb") else place.page
        return page, _name(place)


def _name(place):
    """(7.1), Figure 7.2, Exercise 7.3; nothing for a section."""
    return NUMBERED.get(place.kind, "").format(place.number)


def _anchor(label):
    return f'<a id="{label}"></a>\n\n'


def _numbered_equation(match):
    body, label = match.groups()
    return f"{_anchor(label)}$$\n{body}\n\\tag{{{places()[label].number}}}\n$$"


def _folded(title, body):
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def _quoted(text):
    # Programs take formulas out before they look for quotations: none may run over a line.
    text = MATH.sub(lambda formula: formula[0].replace("\n", " "), text)
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _embedded(image):
    """A drawing, carried along: Colab shows neither files beside a notebook nor attachments."""
    words, path = IMAGE.fullmatch(image.strip()).groups()
    data = base64.b64encode((BOOK / path).read_bytes()).decode()
    words = html.escape(" ".join(words.split()))
    # Not as ![](): of drawings in the text itself VS Code shows the source.
    return f'<img alt="{words}" src="data:image/svg+xml;base64,{data}">'
