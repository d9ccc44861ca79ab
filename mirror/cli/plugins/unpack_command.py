"""``plugin-mirror unpack``: write a plugin as a folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import PublicKeysOption, signature_check
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.oci import Reference

_HELP = "[HOST[:PORT]/]NAME[:TAG][@DIGEST], or FILE.tar:NAME:TAG in a bundle or OCI layout."


def run(
    reference: Annotated[str, typer.Argument(metavar="REF", help=_HELP)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write. It must be empty or must not exist.")],
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    public_keys: PublicKeysOption = None,
    json: JsonOption = False,
) -> None:
    """Write a plugin as a folder for 'docker plugin create'.

    The folder holds config.json, byte for byte, and rootfs/. Run the command as
    root to keep the owners of files. If it fails, nothing is left behind.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.plugin_authoring import unpack_plugin
    from mirror.authoring.files.layout_reference import LayoutReference

    parsed = LayoutReference.parse(reference) or Reference.parse(reference)
    named = parsed.reference if isinstance(parsed, LayoutReference) else parsed
    settings = settings_of(config, data)
    check = signature_check(public_keys, parsed)
    with ByteBar(MESSAGES, f"unpacking {parsed}") as bar:
        unpacked = run_to_the_end(unpack_plugin(settings, parsed, folder, bar, plain_http=plain_http, check=check))
    for note in unpacked.notes:
        MESSAGES.out(f"note: {note}", highlight=False)
    manifest = unpacked.manifest
    if json:
        print_json(
            {
                "reference": str(parsed),
                "digest": str(manifest.digest),
                "folder": str(folder),
                "entries": unpacked.entries,
                "notes": list(unpacked.notes),
            }
        )
        return
    RESULTS.out(
        f"unpacked {parsed} into {folder}: {size(manifest.content_size_bytes)}, {unpacked.entries} files and folders",
        highlight=False,
    )
    # The next command, ready to be pasted.
    name = f"{named.repository}:{named.tag or 'latest'}"
    RESULTS.out(shlex.join(["docker", "plugin", "create", name, str(folder)]), highlight=False)
