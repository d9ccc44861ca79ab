"""The name of the container image in other files."""

from __future__ import annotations

import re

from deploy.release.checkout import ROOT
from deploy.release.container_image import IMAGE


def test_files_and_pages_name_the_image_that_is_built() -> None:
    files = [
        file for folder in ("deploy", "docs") for file in (ROOT / folder).rglob("*") if file.suffix in {".md", ".yaml"}
    ]
    named = {name for file in files for name in re.findall(r"\bplugin-mirror:\d[\w.]*", file.read_text())}
    assert named == {IMAGE}
