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


class NumberedLinks(SphinxPostTransform):
    default_priority = 8  # before myst_parser resolves its links, at 9

    def run(self, **kwargs):
        for link in list(
            self.document.findall(nodes.reference)
        ):  # to this page; already resolved by myst_parser
            self.append_label(link, self.env.docname, link.get("refid"))
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link["reftype"] == "myst" and link.get("refexplicit"):
                if replacement := self.equation(link) or self.citation(link):
                    link.replace_self(replacement)
                else:
                    labels = self.env.get_domain("std").anonlabels
                    self.append_label(link[0], *labels.get(link["reftarget"].lower(), ("", "")))

    def equation(self, link):
        domain = self.env.get_domain("math")
        if link["reftarget"] not in domain.equations:
            return None
        arguments = (
            self.env,
            self.env.docname,
            self.app.builder,
            "eq",
            link["reftarget"],
            link,
            nodes.inline(),
        )
        reference = domain.resolve_xref(*arguments)
        reference.insert(0, [*link[0].children, nodes.Text(" ")])
        return reference

    def citation(self, link):
        domain = self.env.get_domain("cite")
        entry = domain.bibdata.data.entries.get(link["reftarget"])
        if entry is None:
            return None
        arguments = (
            self.env,
            self.env.docname,
            self.app.builder,
            link["reftarget"],
            link,
            nodes.inline(),
        )
        [(_, resolved)] = domain.resolve_any_xref(*arguments)
        reference = next(resolved.findall(nodes.reference))
        year = entry.fields["year"]
        suffix = [] if year in link.astext() else [nodes.Text(f" ({year})")]
        reference.children = []
        reference.extend([*link[0].children, *suffix])
        return reference

    def append_label(self, text, docname, node_id):
        """(Figure 2.1), (Exercise 2.3): whatever Sphinx numbers."""
        for kind, numbers in self.env.toc_fignumbers.get(docname, {}).items():
            if node_id in numbers:
                label = self.config.numfig_format[kind] % ".".join(map(str, numbers[node_id]))
                text += nodes.Text(f" ({label})")


def setup(app):
    TocTreeCollector.assign_section_numbers = assign_section_numbers
    app.add_post_transform(NumberedLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
