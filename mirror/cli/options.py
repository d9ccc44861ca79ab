"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", envvar="PLUGIN_MIRROR_CONFIG", help="Configuration, as YAML."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "-d", metavar="DIR", help="Data folder; wins over storage.path of the configuration."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def flags(**given: Any) -> dict[str, Any]:
    """Nested settings out of flags: ``flags(storage__path=…)``; flags that were not given are left out."""
    nested: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            section, _, key = name.partition("__")
            nested.setdefault(section, {})[key] = value
    return nested
