"""Options that the commands of the group ``bundle`` share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli.printing import MESSAGES
from mirror.oci.errors import ConfigurationFault

if TYPE_CHECKING:
    from mirror.app.bundles.signature_check import SignatureCheck
    from mirror.oci.name_mapping import NameMapping

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


def signature_check(public_keys: list[Path] | None, *sources: object) -> SignatureCheck:
    """Return the check for the bundles among the sources of a command. Its notes go to the terminal.

    Raises:
        ConfigurationFault: keys are given, and no source is in a layout file.
    """
    from mirror.app.bundles.signature_check import SignatureCheck  # late, for a quick --help
    from mirror.authoring.files.layout_reference import LayoutReference

    if public_keys and not any(isinstance(source, LayoutReference) for source in sources):
        raise ConfigurationFault("--key is for plugins in a bundle; fix: write FILE.tar:NAME:TAG, or leave out --key")
    return SignatureCheck(public_keys or (), lambda text: MESSAGES.out(f"note: {text}"))


def size_in_bytes(option: str, text: str) -> int:
    """Return a size on the command line, such as ``4095MiB``, in bytes.

    Args:
        option: name of the option, for the error message.
        text: the size.

    Raises:
        ConfigurationFault: the text is not a size of at least one byte.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError  # late, for a quick --help

    try:
        size_bytes = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        size_bytes = 0
    if size_bytes <= 0:
        raise ConfigurationFault(f"{option} {text!r} is not a size; fix: write a size such as 4095MiB or 1GB")
    return size_bytes


def name_mappings(texts: Iterable[str]) -> tuple[NameMapping, ...]:
    """Return the values of ``--map FROM=TO``. Raises ConfigurationFault if a text is no mapping."""
    from mirror.oci.name_mapping import NameMapping

    mappings = []
    for text in texts:
        source, _, target = text.partition("=")
        if not source or not target:
            raise ConfigurationFault(f"--map {text!r} is not FROM=TO; fix: write for example 'store/*/*=*/*'")
        mappings.append(NameMapping(source, target))
    return tuple(mappings)
