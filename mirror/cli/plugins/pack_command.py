"""``plugin-mirror pack``: build a plugin without an engine."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, OutputOption, pairs, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.rootfs.platform import Platform

if TYPE_CHECKING:
    from mirror.authoring.pack import Packed


def run(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder with config.json or config.template, and with rootfs/ unless --rootfs is given."
        ),
    ],
    *,
    name: Annotated[
        str,
        typer.Option(
            "--tag", "-t", metavar="NAME[:TAG]", help="Name of the plugin. With HOST/ it is pushed to that registry."
        ),
    ],
    rootfs: Annotated[
        Path | None,
        typer.Option(
            "--rootfs",
            metavar="PATH",
            help="Files to use instead of rootfs/: an image (docker save, docker buildx --output type=oci, an OCI "
            "layout), the tar of docker export, or a folder. A tar may be compressed. - is the standard input.",
        ),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            metavar="OS/ARCH",
            help="Platform to take from an image for several. Repeat it to build each plugin as NAME:TAG-ARCH.",
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Value of a placeholder in config.template. Repeatable."),
    ] = None,
    output: OutputOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Build a plugin from a folder or an image, without an engine.

    The folder holds the configuration, and the files unless --rootfs names them.
    The plugin goes to the local store, to another registry, or into a file. The
    same input gives the same digest: files are sorted, and no file is younger
    than SOURCE_DATE_EPOCH (default: 1970).
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.plugin_authoring import build_plugin
    from mirror.authoring.pack import Recipe, pack

    reference = target(name, output)
    settings = settings_of(config, data)
    # Without root the files belong to whoever made the folder, so their owners say nothing about the plugin.
    recipe = Recipe(
        folder,
        rootfs,
        pairs("--set", values or []),
        latest_seconds(),
        owners=os.geteuid() == 0,
        platforms=tuple(Platform.parse(part) for text in platform or () for part in text.split(",")),
        measured=MESSAGES.is_terminal,
    )
    with ByteBar(MESSAGES, f"packing {reference}") as bar:
        build = partial(pack, recipe, progress=bar)
        packed = run_to_the_end(build_plugin(settings, reference, build, output=output, plain_http=plain_http))
    if len(packed) == 1:
        show(packed[0], reference, output, "packed", json=json)
        return
    if json:
        print_json({"plugins": [as_json(one, _tagged(reference, one), output) for one in packed]})
        return
    for one in packed:
        show(one, _tagged(reference, one), output, "packed", json=False)
    MESSAGES.out(
        "note: a rule under platform_tags serves these plugins under one tag, to each engine the one for its platform",
        highlight=False,
    )


def _tagged(reference: Reference, packed: Packed) -> Reference:
    """Return the name of one of several plugins that were built."""
    return replace(reference, tag=packed.tag)


def target(name: str, output: Path | None) -> Reference:
    """Parse the name of a plugin that is to be built.

    Raises:
        ConfigurationFault: the name has a digest, or it has a host although a file is written.
    """
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise ConfigurationFault(f"{name}: the digest of a new plugin is not known yet; fix: write NAME:TAG")
    if reference.host is not None and output is not None:
        raise ConfigurationFault(f"{name}: a name in a file has no host; fix: write {reference.repository}")
    return reference


def latest_seconds() -> int:
    """Return ``SOURCE_DATE_EPOCH`` in seconds since 1970, or 0 if the variable is not set.

    No file in the built plugin is younger.

    Raises:
        ConfigurationFault: the variable is not a number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    # str.isdigit accepts the digits of every script, so ASCII is required too. Eleven digits reach the year 5138.
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise ConfigurationFault(
            f"SOURCE_DATE_EPOCH: {text!r} is not a number of seconds since 1970; fix: write digits, or unset it"
        )
    return int(text)


def show(packed: Packed, reference: Reference, output: Path | None, done: str, *, json: bool) -> None:
    """Print the digest, size and location of a plugin that was built."""
    manifest = packed.plugin.manifest
    for note in packed.notes:
        MESSAGES.out(f"note: {note}", highlight=False)
    if json:
        print_json(as_json(packed, reference, output))
        return
    where = f" into {output}" if output else ""
    RESULTS.out(
        f"{done} {reference}{where}: {size(manifest.content_size_bytes)}, {size(packed.tar_bytes)} unpacked",
        highlight=False,
    )
    RESULTS.out(str(manifest.digest), highlight=False)


def as_json(packed: Packed, reference: Reference, output: Path | None) -> dict[str, Any]:
    """Return digest, size and location of a plugin that was built as plain values."""
    manifest = packed.plugin.manifest
    return {
        "reference": str(reference),
        "file": None if output is None else str(output),
        "digest": str(manifest.digest),
        "size_bytes": manifest.content_size_bytes,
        "unpacked_bytes": packed.tar_bytes,
        "blobs": [blob.to_json() for blob in manifest.blobs],
        "notes": list(packed.notes),
    }
