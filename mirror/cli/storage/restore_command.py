"""``plugin-mirror restore``: a backup becomes a data folder again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.cli.storage.damage_output import print_damaged
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time


def run(
    source: Annotated[
        str, typer.Argument(metavar="DIR|FILE|-", help="Folder of a backup, or a tar. -: read a tar from stdin.")
    ],
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Restore a backup into an absent or empty data folder.

    Every byte is copied and compared with its digest. Nothing is linked to
    the backup. Until the end the data folder is marked, and no server starts
    on it. A restore that was interrupted goes on when it is run again.

    Exit code 1: the store is restored, but the backup lacks content.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.storage.restoring import restore

    settings = settings_of(config, data)
    if source == "-" and sys.stdin.isatty():
        raise ConfigurationFault("a terminal has no tar; fix: plugin-mirror restore - < FILE, or name a DIR")
    with ByteBar(MESSAGES, f"restoring {source}") as bar:
        report = run_to_the_end(restore(settings, sys.stdin.buffer if source == "-" else Path(source), bar))
    document, path = report.document, settings.storage.path
    if document is None:
        raise AssertionError("a restored backup has a document")
    if json:
        print_json(
            {
                "data": str(path),
                "source": document.source,
                "created": machine_time(document.created),
                "blobs": document.blobs,
                "size_bytes": document.size_bytes,
                "restored": report.restored,
                "restored_bytes": report.restored_bytes,
                "present": report.present,
                "damaged": dict(sorted(report.damaged.items())),
            }
        )
    else:
        earlier = f", {report.present} of them restored before" if report.present else ""
        RESULTS.out(
            f"restored {path}: {document.source} as of {machine_time(document.created)}, "
            f"{counted(document.blobs, 'blob')}, {size(document.size_bytes)}{earlier}",
            highlight=False,
        )
    if report.damaged:
        print_damaged(report.damaged, "the backup lacks content")
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
