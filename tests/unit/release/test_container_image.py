"""The name of the container image in other files, and the options of `make`."""

from __future__ import annotations

import re
import subprocess

import pytest

from deploy.release.checkout import ROOT
from deploy.release.container_image import IMAGE


def test_files_and_pages_name_the_image_that_is_built() -> None:
    files = [
        file for folder in ("deploy", "docs") for file in (ROOT / folder).rglob("*") if file.suffix in {".md", ".yaml"}
    ]
    named = {name for file in files for name in re.findall(r"\bplugin-mirror:\d[\w.]*", file.read_text())}
    assert named == {IMAGE}


@pytest.mark.parametrize("target", ["image", "offline-kit"])
def test_make_passes_the_base_and_its_python(target: str) -> None:
    argv = ["make", "--dry-run", "--no-print-directory", target, "BASE=python:3.13-slim", "BASE_PYTHON=3.13"]
    shown = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--base python:3.13-slim --python 3.13" in shown
