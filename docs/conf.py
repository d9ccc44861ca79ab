"""Sphinx: the pages of the repository as a static site, which needs no network and no server.

`make docs` builds the site. Pages are read where they are, so a link that works in the repository works in the site.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mirror import __version__  # noqa: E402

project = html_title = "Docker plugin mirror"
version = release = __version__
copyright = ""  # noqa: A001
html_show_copyright = html_show_sphinx = False

root_doc = "README"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "build", "dist", "data", "mirror", "tests"]  # folders that are not searched for pages

extensions = ["myst_parser"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # examples in JSON have "…"

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_use_index = False


def setup(app: Sphinx) -> None:
    """Register the steps that make a site of the pages."""
    app.connect("source-read", _read)
    app.connect("build-finished", _write_start_page)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    """Change the text of a page: no links to folders, and the navigation of the site."""
    folder = (ROOT / page).parent
    source[0] = re.sub(
        r"\[([^\]]+)\]\(([^):#]+)\)",
        lambda link: link[1] if (folder / link[2]).is_dir() else link[0],
        source[0],
    )
    if page == root_doc:
        source[0] += _navigation(source[0])
    elif page == "docs/adr/README":
        source[0] += "\n```{toctree}\n:glob:\n\n[0-9]*\n```\n"


def _navigation(readme: str) -> str:
    """Return one table of contents for each group of pages in the README."""
    documentation = readme.partition("\n## Documentation\n")[2].partition("\n## ")[0]
    tables = []
    for group in documentation.split("\n### ")[1:]:
        pages = dict.fromkeys(re.findall(r"\]\(([^)#]+)\.md\)", group))
        caption = group.partition("\n")[0]
        tables.append("\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""]))
    return "".join(tables)


def _write_start_page(app: Sphinx, error: Exception | None) -> None:
    """Write the README as the start page too: web servers and people look for `index.html`."""
    if error is None and app.builder.name == "html":
        (app.outdir / "index.html").write_bytes((app.outdir / f"{root_doc}.html").read_bytes())
