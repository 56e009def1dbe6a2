"""The site's own address leads to the first page.

sphinx-external-toc would write a bare redirect. A browser that opens a page without an icon asks
the server's root for one, which belongs to nobody here; and whoever has switched redirects off
needs a link.
"""

from pathlib import Path, PurePosixPath

REDIRECT = """\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={page}">
<link rel="icon" href="_static/{icon}">
<title>{title}</title>
</head>
<body><main><h1><a href="{page}">{title}</a></h1></main></body>
</html>
"""


def write_redirect(app, exception):
    if exception is None and app.builder.format == "html":
        page = REDIRECT.format(
            language=app.config.language,
            page=app.builder.get_target_uri(app.config.root_doc),
            icon=PurePosixPath(app.config.html_favicon).name,
            title=app.config.html_title,
        )
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf8")


def setup(app):
    app.connect("build-finished", write_redirect, priority=100)  # before sphinx-external-toc's own
    return {"parallel_read_safe": True, "parallel_write_safe": True}
