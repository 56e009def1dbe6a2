"""No button that leads nowhere: those that need the repository's address appear once it is set."""

PLACEHOLDER = "OWNER/NAME"  # until `make repository SLUG=owner/name`


def hide_buttons_without_repository(app, config):
    options = config.html_theme_options
    if options["repository_url"].endswith(PLACEHOLDER):
        for button in ("launch_buttons", "use_repository_button", "use_issues_button"):
            options.pop(button, None)


def setup(app):
    app.connect("config-inited", hide_buttons_without_repository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
