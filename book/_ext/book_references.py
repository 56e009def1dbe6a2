"""Chapter numbers from file names, and numbers beside plain Markdown links.

Chapters are written so that they read well in JupyterLab and Colab too: `[the bound](#eq-elbo)`,
never a Sphinx role. In the book such a link keeps the words its author chose and gains the number
of what it points at: the bound (2.1), the curves (Figure 6.2), Kingma and Welling (2014).
"""

import re
from pathlib import PurePosixPath

from docutils import nodes
from sphinx import addnodes
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.transforms.post_transforms import SphinxPostTransform


def chapter_number(docname):
    """`book/02_elbo` is chapter (2,); pages whose name has no number have none."""
    match = re.match(r"(\d\d)_", PurePosixPath(docname).name)
    return (int(match[1]),) if match else None


def assign_section_numbers(collector, env):
    """Number chapters by file name; Sphinx itself would count what the table of contents lists."""
    old, env.toc_secnumbers = env.toc_secnumbers, {}
    for docname, toc in env.tocs.items():
        if number := chapter_number(docname):
            title, *sections = toc.findall(nodes.reference)
            title["secnumber"] = env.titles[docname]["secnumber"] = number
            env.toc_secnumbers[docname] = {title["anchorname"]: number} | {
                s["anchorname"]: None for s in sections
            }
    return [
        docname for docname, numbers in env.toc_secnumbers.items() if numbers != old.get(docname)
    ]


def in_words(number, link):
    """The number as it follows the link's own words, which may stand in parentheses already."""
    siblings = link.parent.children[: link.parent.index(link)]
    before = "".join(sibling.astext() for sibling in siblings)
    return f", {number}" if before.count("(") > before.count(")") else f" ({number})"


class NumberedLinks(SphinxPostTransform):
    default_priority = 8  # before myst_parser resolves its links, at 9

    def run(self, **kwargs):
        # myst_parser has already resolved what points to its own page.
        for link in list(self.document.findall(nodes.reference)):
            self.append_label(link, link, self.env.docname, link.get("refid"))
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link["reftype"] == "myst" and link.get("refexplicit"):
                self.forget_the_file(link)
                if replacement := self.equation(link) or self.citation(link):
                    link.replace_self(replacement)
                else:
                    labels = self.env.get_domain("std").anonlabels
                    target = labels.get(link["reftarget"].lower(), ("", ""))
                    self.append_label(link, link[0], *target)

    def forget_the_file(self, link):
        """In what a cell prints a link names the file too, for whoever runs the notebook."""
        label = link.get("reftargetid")
        if label in self.env.get_domain("std").anonlabels or label in self.equations():
            link.attributes |= {"refdomain": None, "reftarget": label}
            del link["reftargetid"]

    def equations(self):
        return self.env.get_domain("math").equations

    def equation(self, link):
        domain, target = self.env.get_domain("math"), link["reftarget"]
        if target not in self.equations():
            return None
        place = (self.env, self.env.docname, self.app.builder)
        reference = domain.resolve_xref(*place, "eq", target, link, nodes.inline())
        reference.insert(0, [*link[0].children, nodes.Text(" ")])
        return reference

    def citation(self, link):
        domain, target = self.env.get_domain("cite"), link["reftarget"]
        entry = domain.bibdata.data.entries.get(target)
        if entry is None:
            return None
        place = (self.env, self.env.docname, self.app.builder)
        [(_, resolved)] = domain.resolve_any_xref(*place, target, link, nodes.inline())
        reference = next(resolved.findall(nodes.reference))
        reference.children = []
        reference.extend(link[0].children)
        if (year := entry.fields["year"]) not in link.astext():
            reference += nodes.Text(in_words(year, link))
        return reference

    def append_label(self, link, text, docname, node_id):
        """Figure 2.1, Exercise 2.3: whatever Sphinx numbers."""
        for kind, numbers in self.env.toc_fignumbers.get(docname, {}).items():
            if node_id in numbers:
                label = self.config.numfig_format[kind] % ".".join(map(str, numbers[node_id]))
                text += nodes.Text(in_words(label, link))


def setup(app):
    TocTreeCollector.assign_section_numbers = assign_section_numbers
    app.add_post_transform(NumberedLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
