"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mirror.cli.printing import MESSAGES
from mirror.cli.verbosity import is_verbose
from mirror.oci import Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault

# The settings are imported where they are read: help shows the options without them.
if TYPE_CHECKING:
    from mirror.settings import Settings

#: The configuration file of commands that are given none, if it exists.
DEFAULT_CONFIG: Final = Path("/etc/plugin-mirror/config.yaml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="PLUGIN_MIRROR_CONFIG",
        help=f"Configuration file (YAML). Default: {DEFAULT_CONFIG}, if it exists. {os.devnull}: no file.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "-d", metavar="DIR", help="Data folder. Overrides storage.path of the configuration."),
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


def configuration_file(given: Path | None) -> Path | None:
    """Return the configuration file that a command reads, or None if it reads none.

    Args:
        given: the file of ``--config`` or ``PLUGIN_MIRROR_CONFIG``, if one is given.
    """
    if given is not None:
        return None if given == Path(os.devnull) else given
    try:
        return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None
    except PermissionError:  # of the folder; the error of reading it says so
        return DEFAULT_CONFIG


def settings_with(config: Path | None, given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Settings:
    """Return the effective settings, and tell with ``--verbose`` where they are from.

    Prints a warning for each variable that looks like a setting, and is none.

    Args:
        config: the file of ``--config``, if one is given.
        given: the settings from flags, as :func:`flags` returns them.
        defaults: nested values that the file and the environment override.

    Raises:
        ConfigurationFault: the configuration cannot be read, or a value is invalid.
    """
    from mirror.settings import load, unknown_variables

    file = configuration_file(config)
    try:
        settings = load(file, given, defaults)
    except ConfigurationFault as error:
        cause = error.__cause__
        if isinstance(cause, PermissionError) and file is not None and Path(str(cause.filename)) == file:
            # How to fix it is told with the owner of the file.
            raise ConfigurationFault(f"{file} cannot be read: Permission denied") from cause
        raise
    for sentence in unknown_variables():
        MESSAGES.out(f"warning: {sentence}", highlight=False)
    if is_verbose():
        MESSAGES.out(f"configuration: {file or 'no file'}")
        MESSAGES.out(f"data folder: {settings.storage.path.absolute()}")
    return settings


def settings_of(config: Path | None, data: Path | None) -> Settings:
    """Return the effective settings, with the data folder of ``--data`` if that option is given.

    Raises:
        ConfigurationFault: the configuration cannot be read, or a value is invalid.
    """
    return settings_with(config, flags(storage__path=data))


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
            raise ConfigurationFault(f"{option} {text!r} is not KEY=VALUE; fix: write {option} KEY=VALUE")
        if key in found:
            raise ConfigurationFault(f"{option} {key!r} is given twice; fix: keep one of the two")
        found[key] = value
    return found
