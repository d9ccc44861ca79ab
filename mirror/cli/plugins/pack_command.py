"""``plugin-mirror pack``: build a plugin without an engine."""

from __future__ import annotations

import os
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

if TYPE_CHECKING:
    from mirror.authoring.pack import Packed


def run(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds config.json or config.template, and rootfs/ unless --rootfs.")
    ],
    *,
    name: Annotated[
        str, typer.Option("--tag", "-t", metavar="NAME[:TAG]", help="Its name; with HOST/ it is pushed there.")
    ],
    rootfs: Annotated[
        Path | None,
        typer.Option("--rootfs", metavar="FILE", help="An image instead of rootfs/: docker save, or an OCI layout."),
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fills a placeholder of config.template.")
    ] = None,
    output: OutputOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Build a plugin of a folder, or of a configuration and an image, without an engine.

    It goes into our own store, to another registry, or into a file. The same input gives the same digest: files are
    sorted, and none is younger than SOURCE_DATE_EPOCH, which is 1970 where it is not set.
    """
    from mirror.app.plugin_authoring import build_plugin
    from mirror.authoring.pack import Recipe, pack

    reference = target(name, output)
    settings = settings_of(config, data)
    recipe = Recipe(folder, rootfs, pairs("--set", values or []), latest_seconds(), owners=os.geteuid() == 0)
    with ByteBar(MESSAGES, f"packing {reference}") as bar:
        build = partial(pack, recipe, progress=bar)
        packed = run_to_the_end(build_plugin(settings, reference, build, output=output, plain_http=plain_http))
    show(packed, reference, output, "packed", json=json)


def target(name: str, output: Path | None) -> Reference:
    """The name that something new gets.

    Raises:
        ConfigurationFault: it has a digest, or a host where a file is written.
    """
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise ConfigurationFault(f"{name}: write NAME:TAG; the digest comes of what is built")
    if reference.host is not None and output is not None:
        raise ConfigurationFault(f"{name}: a file belongs to no host: write it as {reference.repository}")
    return reference


def latest_seconds() -> int:
    """``SOURCE_DATE_EPOCH``, the time that nothing in what is built is younger than; 0 where it is not set.

    Raises:
        ConfigurationFault: it is no time.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise ConfigurationFault(f"environment: SOURCE_DATE_EPOCH: {text!r} is no time in seconds since 1970")
    return int(text)


def show(packed: Packed, reference: Reference, output: Path | None, done: str, *, json: bool) -> None:
    """Print what was built, and where it is."""
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
    """The same for programs."""
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
