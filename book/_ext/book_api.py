"""The API page, where Sphinx's own output needs a hand."""


def skip_tuple_field(app, what, name, obj, skip, options):
    """A named tuple explains its fields itself; "Alias for field number 0" adds nothing."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def leave_out_signature_of_protocol(app, what, name, obj, options, signature, returns):
    """Nobody calls a protocol; Sphinx would show ``(*args, **kwargs)``."""
    return ("", None) if getattr(obj, "_is_protocol", False) else None


def mark_parameter_lists(app, pagename, templatename, context, doctree):
    """Long signatures are laid out with `<dl>` but define no terms: tell screen readers."""
    if "body" in context:
        context["body"] = context["body"].replace("<dl>\n<dd>", '<dl role="presentation">\n<dd>')


def setup(app):
    app.connect("autodoc-skip-member", skip_tuple_field)
    app.connect("autodoc-process-signature", leave_out_signature_of_protocol)
    app.connect("html-page-context", mark_parameter_lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
