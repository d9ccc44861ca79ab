"""The site of the documentation: made without a warning, whole, and without a request to anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from deploy.release.html_pages import build_pages
from tests.docs.settings_page import PAGE, settings_page

ROOT = Path(__file__).parents[2]
#: Elements that load something, with the attribute that names it. An image of its own content is `data:`.
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
#: Pages whose words the search must find.
PAGES = ("README", "docs/OPERATIONS", "docs/SETTINGS", "docs/guides/air-gap", "docs/adr/README", "CHANGELOG")


@dataclass
class Links(HTMLParser):
    """Links of a page.

    Attributes:
        page: the file.
        anchors: targets within the page.
        loaded: files and URLs that a browser loads with the page.
        followed: targets of the links that a reader may follow.
    """

    page: Path
    anchors: set[str] = field(default_factory=set)
    loaded: list[str] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element loads, links to, or is the target of."""
        named = {name: value for name, value in attrs if value}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if tag in LOADING and LOADING[tag] in named:
            self.loaded.append(named[LOADING[tag]])
        if tag == "a" and "href" in named:
            self.followed.append(named["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made as `make docs` makes it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    build_pages(folder / "html", folder / "parsed")
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> Mapping[Path, Links]:
    """All pages of the site, by file."""
    return {page: Links(page) for page in site.rglob("*.html")}


def test_every_page_is_in_the_site_and_the_readme_is_its_start(site: Path) -> None:
    sources = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    expected = {site / source.relative_to(ROOT).with_suffix(".html") for source in sources}
    assert {page for page in expected if not page.exists()} == set()
    assert (site / "index.html").read_bytes() == (site / "README.html").read_bytes()


def test_no_page_loads_anything_from_elsewhere(site: Path, pages: Mapping[Path, Links]) -> None:
    loaded = {
        (page.relative_to(site), url) for page, links in pages.items() for url in links.loaded if _is_elsewhere(url)
    }
    assert loaded == set()
    assert all(links.loaded for links in pages.values())
    styles = {sheet.name: sheet.read_text() for sheet in site.rglob("*.css")}
    foreign = re.compile(r"@import|url\([\"']?(https?:)?//")
    assert {name for name, text in styles.items() if foreign.search(text)} == set()


def test_every_link_and_anchor_within_the_site_leads_somewhere(site: Path, pages: Mapping[Path, Links]) -> None:
    dead = {
        (str(page.relative_to(site)), target)
        for page, links in pages.items()
        for target in [*links.followed, *links.loaded]
        if not _is_elsewhere(target) and not _exists(page, target, pages)
    }
    assert dead == set()


@pytest.mark.parametrize("page", PAGES)
def test_the_index_of_the_search_has_the_page_and_is_loaded_without_a_server(site: Path, page: str) -> None:
    assert f'"{page}"' in (site / "searchindex.js").read_text()
    assert {"_static/searchtools.js", "searchindex.js"} <= {
        urlsplit(url).path for url in Links(site / "search.html").loaded
    }


def test_the_page_of_settings_is_that_of_the_schema() -> None:
    assert PAGE.read_text() == settings_page(), "run make docs"


def _is_elsewhere(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme != "data" and bool(parts.scheme or parts.netloc)


def _exists(page: Path, target: str, pages: Mapping[Path, Links]) -> bool:
    parts = urlsplit(target)
    if parts.scheme == "data":
        return True
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not parts.fragment or file.suffix != ".html":
        return file.exists()
    return file in pages and unquote(parts.fragment) in pages[file].anchors
