"""``plugin-mirror version``: print the version."""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

from mirror import __version__


# With options and output of its own: those of other commands take longer than all of this one.
def run(json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Print the version."""
    typer.echo(json_format.dumps({"version": __version__}) if json else f"plugin-mirror {__version__}")
