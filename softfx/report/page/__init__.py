"""The report as a page: one HTML file that needs nothing else, and the small form of it that a notebook shows.

`listing` reads the source around the sites, `view` arranges a report's JSON for the templates, `render` fills them;
`render` is the only module that knows jinja2. The style and the script are files beside the templates.
"""

from softfx.report.page.render import notebook, page

__all__ = ["notebook", "page"]
