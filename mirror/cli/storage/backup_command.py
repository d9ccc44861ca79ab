"""``plugin-mirror backup``: a complete, verified copy of the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.cli.storage.damage_output import print_damaged
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time

if TYPE_CHECKING:
    from mirror.store.backup.backup_request import BackupReport

_STREAM = "-"


def run(
    target: Annotated[str, typer.Argument(metavar="DIR|-", help="Folder of the backup. -: write one tar to stdout.")],
    *,
    hard_link: Annotated[
        bool, typer.Option("--hard-link", help="Link files instead of copying them: a snapshot on the same disk.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read again what earlier backups have copied to DIR, and repair it.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a backup of another data folder, or of other content.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Back up the store to a folder or a tar, beside a running server.

    The backup has the state of one moment: the catalog is copied first, then
    the blobs, and every byte is compared with its digest. A later backup into
    the same folder copies new content only. DIR holds a complete backup at
    all times, also if the command is killed: the earlier one until the end.

    The backup contains password hashes and the key that signs tokens. Keep it
    as safe as the data folder.

    Exit code 1: the backup is complete, but the store had lost content.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.storage.backing_up import back_up

    settings = settings_of(config, data)
    if target == _STREAM:
        _require_stream(hard_link=hard_link, verify=verify, as_json=json)
    where = sys.stdout.buffer if target == _STREAM else Path(target).absolute()
    with ByteBar(MESSAGES, f"backup to {target}") as bar:
        work = back_up(settings, where, bar, hard_link=hard_link, verify=verify, replace=replace)
        report = run_to_the_end(work)
    if report.on_same_disk:
        _warn_of_the_disk(target, hard_link=hard_link)
    if json:
        print_json(_as_json(target, report))
    else:
        _print(target, report)
    if report.damaged:
        print_damaged(report.damaged, "the store has lost content, which the backup lacks")
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _require_stream(*, hard_link: bool, verify: bool, as_json: bool) -> None:
    if hard_link or verify or as_json:
        raise ConfigurationFault("--hard-link, --verify and --json need a folder; fix: leave them out, or name a DIR")
    if sys.stdout.isatty():
        raise ConfigurationFault("a terminal cannot take a tar; fix: plugin-mirror backup - > FILE, or name a DIR")


def _warn_of_the_disk(target: str, *, hard_link: bool) -> None:
    if hard_link:
        warning = (
            f"{target} shares its files with the data folder: it is a snapshot that is lost with the disk, and damage "
            "to a file is in both"
        )
    else:
        warning = f"{target} is on the file system of the data folder, and is lost with it; fix: copy it elsewhere"
    MESSAGES.out(f"warning: {warning}", highlight=False)


def _print(target: str, report: BackupReport) -> None:
    document = report.document
    if document is None:
        raise AssertionError("a backup that has ended has a document")
    output = MESSAGES if target == _STREAM else RESULTS
    named = "tar" if target == _STREAM else f"{target}: backup {document.serial}"
    output.out(
        f"{named} of {document.source}, {counted(document.blobs, 'blob')}, {size(document.size_bytes)}", highlight=False
    )
    copied = [f"{method} {number}" for method, number in sorted(report.written.items())]
    parts = [
        f"{size(report.written_bytes)} written ({', '.join(copied)})" if copied else "nothing new",
        *([f"{report.kept} were there"] if report.kept else []),
        *([f"{report.repaired} repaired"] if report.repaired else []),
        *([f"{report.removed} no longer needed and removed"] if report.removed else []),
    ]
    output.out("blobs: " + ", ".join(parts), highlight=False)


def _as_json(target: str, report: BackupReport) -> dict[str, Any]:
    document = report.document
    if document is None:
        raise AssertionError("a backup that has ended has a document")
    return {
        "target": target,
        "serial": document.serial,
        "created": machine_time(document.created),
        "source": document.source,
        "blobs": document.blobs,
        "size_bytes": document.size_bytes,
        "written": {method.value: number for method, number in report.written.items()},
        "written_bytes": report.written_bytes,
        "kept": report.kept,
        "repaired": report.repaired,
        "removed": report.removed,
        "on_same_disk": report.on_same_disk,
        "damaged": dict(report.problems),
    }
