"""How Sphinx builds the site: Markdown by MyST, the theme Furo, and nothing fetched when a page is looked at."""

from importlib.metadata import version as version_of

project = "leadflow"
author = "the leadflow contributors"
release = version = version_of("leadflow")
extensions = ["myst_parser"]
root_doc = "index"

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
# A fault of the parser is a fault of the page; external links are checked by form in the tests.
suppress_warnings: list[str] = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "leadflow"
html_static_path = ["static"]
html_css_files = ["leadflow.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": False}
pygments_style = "tango"
pygments_dark_style = "github-dark"
