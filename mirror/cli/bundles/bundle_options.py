"""The command ``plugin-mirror bundle``, and options that its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Carry plugins to places that no network reaches.", no_args_is_help=True)

PublicKeysOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="F.pub", help="Trust bundles signed with this public key, in this command only. Repeatable."
    ),
]
UnsignedOption = Annotated[bool, typer.Option("--unsigned", help="Accept a bundle that nobody has signed.")]
FoldersOption = Annotated[
    list[Path] | None,
    typer.Option("--parts", metavar="DIR", help="Look for parts of the bundle in this folder too. Repeatable."),
]
