"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mirror.oci import Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", envvar="PLUGIN_MIRROR_CONFIG", help="Configuration, as YAML."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "-d", metavar="DIR", help="Data folder; wins over storage.path of the configuration."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write an OCI layout as tar file instead.")
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


def settings_of(config: Path | None, data: Path | None) -> Settings:
    """The effective settings, with the data folder that ``--data`` names. Raises ConfigurationFault."""
    return load(config, flags(storage__path=data))


def new_name(text: str) -> tuple[Repository, Tag]:
    """Read ``NAME[:TAG]``, which is to be a name in our own store.

    Raises:
        ConfigurationFault: it has a host, or a digest. NameInvalid: it is outside the grammar.
    """
    parsed = Reference.parse(text)
    if parsed.host is not None:
        raise ConfigurationFault(f"{text}: a new name is one here: write NAME[:TAG], without {parsed.host}/")
    if parsed.tag is None or parsed.digest is not None:
        raise ConfigurationFault(f"{text}: a new name has a tag, and its digest follows: write NAME[:TAG]")
    return parsed.repository, parsed.tag


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` words as a mapping.

    Raises:
        ConfigurationFault: one is something else, or a key is given twice.
    """
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigurationFault(f"{option} {text!r}: write KEY=VALUE")
        if key in found:
            raise ConfigurationFault(f"{option} {key!r} is given twice")
        found[key] = value
    return found
