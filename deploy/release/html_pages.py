"""Make the site of all pages with Sphinx. Run it with `make docs`. The site needs no network and no server."""

import sys
from pathlib import Path

from deploy.release.checkout import DIST, ROOT, report, run_program

#: Sphinx keeps the parsed pages here, so that the next run parses only what has changed.
PARSED = ROOT / "build/doctrees"


def build_pages(folder: Path, parsed: Path) -> None:
    """Make the site in a folder.

    Args:
        folder: folder of the site. `index.html` is its start.
        parsed: folder for the parsed pages, which another run may use again.

    Raises:
        ReleaseError: Sphinx is missing, or warns, such as about a dead link.
    """
    options = ("--quiet", "--fail-on-warning", "--keep-going", "-c", "docs", "-d", str(parsed))
    run_program([sys.executable, "-m", "sphinx", *options, ".", str(folder.absolute())])


def main() -> None:
    """Make the site in dist/docs."""
    build_pages(DIST / "docs", PARSED)


if __name__ == "__main__":
    sys.exit(report(main))
