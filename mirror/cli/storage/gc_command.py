"""``plugin-mirror gc``: remove content that nothing needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.cli.storage.collection_bar import CollectionBar

if TYPE_CHECKING:
    from mirror.lifecycle.collector import CollectionResult


def run(
    *,
    config: ConfigOption = None,
    data: DataOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed. Change nothing.")] = False,
    grace: Annotated[
        str | None,
        typer.Option(
            "--grace",
            metavar="DURATION",
            help="Time since content lost its last user, such as 6h, in place of the configured times. "
            "0s: decide everything now.",
        ),
    ] = None,
    untagged: Annotated[
        str | None,
        typer.Option(
            "--untagged",
            metavar="DURATION",
            help="Time that manifests without a tag are kept, such as 7d or 0s, in place of storage.untagged.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Remove content that no tag, manifest or other record needs any more.

    The command may run beside a server on the same data folder. The server
    does the same in the background. With --grace 0s the bytes are gone when
    the command ends. Blobs of open uploads and imports stay. A client that
    is pushing may be told that a blob is unknown, and then pushes again.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.storage import collecting

    settings = settings_of(config, data)
    with CollectionBar(MESSAGES) as bar:
        result = run_to_the_end(
            collecting.collect(
                settings, grace=_duration(grace), untagged=_duration(untagged), dry_run=dry_run, progress=bar
            )
        )
    if json:
        print_json(_as_json(result, dry_run=dry_run))
    else:
        _print(result, dry_run=dry_run)


def _duration(text: str | None) -> timedelta | None:
    from mirror.settings.storage.collection_settings import parse_grace

    return None if text is None else parse_grace(text)


def _print(result: CollectionResult, *, dry_run: bool) -> None:
    decided, freed = result.decided, result.freed
    would = "would be " if dry_run else ""
    RESULTS.out(f"{counted(freed.files, 'file')} {would}removed, {size(freed.size_bytes)} {would}freed")
    later = decided.doomed - freed.files
    if later > 0:
        RESULTS.out(
            f"{counted(later, 'file')} more {'is' if later == 1 else 'are'} no longer needed, and removed later"
        )
    for name, number in decided.protected.items():
        RESULTS.out(f"{number} kept by {name}")


def _as_json(result: CollectionResult, *, dry_run: bool) -> dict[str, Any]:
    decided, freed = result.decided, result.freed
    return {
        "dry_run": dry_run,
        "decided": decided.decided,
        "removed": decided.removed,
        "doomed": {"files": decided.doomed, "size_bytes": decided.doomed_bytes},
        "freed": {"files": freed.files, "size_bytes": freed.size_bytes},
        "kept": dict(decided.protected),
    }
