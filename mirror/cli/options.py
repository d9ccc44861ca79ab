"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mirror.cli.printing import MESSAGES
from mirror.oci import Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load, unknown_variables

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", envvar="PLUGIN_MIRROR_CONFIG", help="Configuration file (YAML)."),
]
DataOption = Annotated[
    Path | None,
    # Whether the folder can be read is checked where it is opened, with a message that names its owner.
    typer.Option(
        "--data", "-d", metavar="DIR", readable=False, help="Data folder. Overrides storage.path of the configuration."
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write an OCI image layout to this tar file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def flags(**given: Any) -> dict[str, Any]:
    """Return nested settings from command line flags, such as ``flags(storage__path=…)``.

    Args:
        given: values by ``SECTION__KEY``. A value of None is left out, so that the file or the environment decides.
    """
    nested: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            section, _, key = name.partition("__")
            nested.setdefault(section, {})[key] = value
    return nested


def settings_of(config: Path | None, data: Path | None) -> Settings:
    """Return the effective settings, with the data folder of ``--data`` if that option is given.

    Prints a warning for each variable that looks like a setting, and is none.

    Raises:
        ConfigurationFault: the configuration cannot be read, or a value is invalid.
    """
    settings = load(config, flags(storage__path=data))
    for sentence in unknown_variables():
        MESSAGES.out(f"warning: {sentence}", highlight=False)
    return settings


def new_name(text: str) -> tuple[Repository, Tag]:
    """Parse ``NAME[:TAG]``, the name of new content in the local store.

    Raises:
        ConfigurationFault: the text has a host or a digest.
        NameInvalid: the text does not match the grammar of references.
    """
    parsed = Reference.parse(text)
    if parsed.host is not None:
        raise ConfigurationFault(
            f"{text}: a new name must be in the local store; fix: write NAME[:TAG], without {parsed.host}/"
        )
    if parsed.tag is None or parsed.digest is not None:
        raise ConfigurationFault(f"{text}: a new name cannot have a digest; fix: write NAME[:TAG]")
    return parsed.repository, parsed.tag


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """Parse several ``KEY=VALUE`` texts into a mapping.

    Args:
        option: name of the option, for error messages.
        given: the texts.

    Raises:
        ConfigurationFault: a text is not ``KEY=VALUE``, or a key is given twice.
    """
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")  # a value may contain further equals signs
        if not key or not equals:
            raise ConfigurationFault(f"{option} {text!r} is not KEY=VALUE")
        if key in found:
            raise ConfigurationFault(f"{option} {key!r} is given twice")
        found[key] = value
    return found
