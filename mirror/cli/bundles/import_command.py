"""``plugin-mirror bundle import``: bring the content of a bundle into the local store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import FoldersOption, PublicKeysOption, UnsignedOption, name_mappings
from mirror.cli.byte_bar import ByteBar
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.records.sync_runs import TagOutcome

if TYPE_CHECKING:
    from mirror.bundle.importing.import_result import ImportedName, ImportResult


def run(
    bundle: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle, the table of its parts, or a part.")],
    *,
    keys: PublicKeysOption = None,
    unsigned: UnsignedOption = False,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FROM=TO", help="Give names of the bundle other names here: 'store/*/*=*/*'. Repeatable."
        ),
    ] = None,
    folders: FoldersOption = None,
    allow_rollback: Annotated[
        int | None,
        typer.Option(
            "--allow-rollback", metavar="SERIAL", help="Import this bundle although it does not follow the last one."
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change and how many bytes, without changing anything.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring the content of a bundle into the local store.

    The signature, the place of the bundle in its stream, and everything that
    the bundle assumes to be here are checked before anything is written. Plugin
    checks and the admission policy apply as to a push. All tags move at once at
    the end. Content that is here is not read again, and an interrupted import
    continues where it stopped. The command may run beside a server on the same
    data folder.

    Exit code 1: the bundle is untrusted, damaged or incomplete, or some names
    were refused.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_importing import ImportRequest, dry_run_import, import_into_store

    settings = settings_of(config, data)
    mappings = name_mappings(maps or ())
    request = ImportRequest(bundle, folders or [], keys or [], unsigned, mappings, allow_rollback)
    if dry_run:
        result = run_to_the_end(dry_run_import(settings, request))
    else:
        with ByteBar(MESSAGES, f"importing {bundle.name}") as bar:
            result = run_to_the_end(import_into_store(settings, request, bar))
    for warning in result.warnings:
        MESSAGES.out(f"warning: {warning}", highlight=False)
    if json:
        print_json(_as_json(result, dry_run=dry_run))
    else:
        _print(result, dry_run=dry_run)
    raise typer.Exit(max(map(exit_codes.of, result.errors), default=exit_codes.DONE))


def _print(result: ImportResult, *, dry_run: bool) -> None:
    for name in result.names:
        if name.outcome is not TagOutcome.UNCHANGED:
            RESULTS.out(_line(name), highlight=False)
        for line in name.difference:
            MESSAGES.out(f"  privilege {line}", highlight=False)
        for note in name.notes:
            MESSAGES.out(f"note: {name.local}: {note}", highlight=False)
    counted = (TagOutcome.COPIED, TagOutcome.UNCHANGED, TagOutcome.SKIPPED, TagOutcome.FAILED)
    told = ", ".join(f"{result.counts[outcome]} {outcome}" for outcome in counted)
    begin = "dry run: " if dry_run else ""
    RESULTS.out(
        f"{begin}bundle {result.serial} of stream {result.stream}: {told}; {size(result.moved_bytes)} from the bundle",
        highlight=False,
    )


def _line(name: ImportedName) -> str:
    local = name.local
    given = f" (in the bundle {local.named})" if local.repository != local.named.repository else ""
    is_moved = name.outcome is TagOutcome.COPIED and name.before not in {None, local.digest}
    moved = f" from {name.before}" if is_moved else ""
    return f"{local} {name.outcome}{moved}{given}{f': {name.reason}' if name.reason else ''}"


def _as_json(result: ImportResult, *, dry_run: bool) -> dict[str, Any]:
    return {
        "stream": result.stream,
        "serial": result.serial,
        **{
            outcome.value: result.counts[outcome]
            for outcome in (TagOutcome.COPIED, TagOutcome.UNCHANGED, TagOutcome.SKIPPED, TagOutcome.FAILED)
        },
        "moved_bytes": result.moved_bytes,
        "dry_run": dry_run,
        "warnings": list(result.warnings),
        "names": [
            {
                "name": str(name.local),
                "in_bundle": str(name.local.named),
                "outcome": name.outcome.value,
                "before": name.before and str(name.before),
                "digest": str(name.local.digest),
                "privileges": list(name.difference),
                "notes": list(name.notes),
                # The reason of a failed name is its error, which has a key of its own.
                "reason": "" if name.error else name.reason,
                "error": name.error and str(name.error),
            }
            for name in result.names
        ],
    }
