"""``plugin-mirror gc``: remove content that nothing needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, size
from mirror.cli.storage.collection_bar import CollectionBar
from mirror.oci.timestamps import machine_time

if TYPE_CHECKING:
    from mirror.lifecycle.collector import CollectionResult
    from mirror.lifecycle.tag_retirement import RetirementResult
    from mirror.records.lifecycle.reviews import DecidedReviews


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
    """Drop tags that no retention keeps, and remove content that nothing needs.

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
    _print_retirement(result.retirement, would)
    RESULTS.out(f"{counted(freed.files, 'file')} {would}removed, {size(freed.size_bytes)} {would}freed")
    later = decided.doomed - freed.files
    if later > 0:
        RESULTS.out(
            f"{counted(later, 'file')} more {'is' if later == 1 else 'are'} no longer needed, and removed later"
        )
    for name, number in decided.protected.items():
        RESULTS.out(f"{number} kept by {name}{_until(decided) if name == 'storage.untagged' else ''}")


def _until(decided: DecidedReviews) -> str:
    """Return the end of the time for which untagged manifests stay."""
    return "" if decided.untagged_until is None else f", the first until {machine_time(decided.untagged_until)}"


def _print_retirement(retirement: RetirementResult, would: str) -> None:
    for one in retirement.retired:
        RESULTS.out(f"{one.name} {would or 'was '}dropped: {one.reason}", highlight=False)
    if retirement.retired:
        RESULTS.out(f"{counted(len(retirement.retired), 'tag')} {would}dropped by retention")
    for pattern, since in retirement.waiting:
        why = (
            "no server with this configuration has recorded pulls yet"
            if since is None
            else f"pulls are recorded for too short a time; tags are dropped from {machine_time(since)} on"
        )
        MESSAGES.out(f"note: repositories {pattern} keep all tags: {why}", highlight=False)


def _as_json(result: CollectionResult, *, dry_run: bool) -> dict[str, Any]:
    decided, freed = result.decided, result.freed
    return {
        "dry_run": dry_run,
        "decided": decided.decided,
        "removed": decided.removed,
        "doomed": {"files": decided.doomed, "size_bytes": decided.doomed_bytes},
        "freed": {"files": freed.files, "size_bytes": freed.size_bytes},
        "kept": dict(decided.protected),
        "untagged_until": machine_time(decided.untagged_until),
        "dropped_tags": [
            {
                "name": one.repository.name,
                "tag": one.tag.tag.name,
                "digest": str(one.tag.digest),
                "pushed_at": machine_time(one.tag.pushed_at),
                "reason": one.reason,
            }
            for one in result.retirement.retired
        ],
        "retention_waits": [
            {"pattern": pattern, "until": machine_time(since)} for pattern, since in result.retirement.waiting
        ],
    }
