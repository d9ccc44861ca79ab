"""Builds of a release in a process that has nothing in common with this one but the checkout and the programs."""

from __future__ import annotations

import os
import subprocess
import sys

from deploy.release.checkout import ROOT

_BEGINNING = """\
from pathlib import Path
from deploy.release.checkout import release_time
"""


def build_elsewhere(script: str) -> None:
    """Run a script with another order of sets, another time zone, another language and another umask.

    Args:
        script: Python code. `Path` and `release_time` are imported.
    """
    subprocess.run(
        [sys.executable, "-c", _BEGINNING + script],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "4711", "TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONPATH": str(ROOT)},
        umask=0o077,
        check=True,
        capture_output=True,
    )
