"""``plugin-mirror sync``: run mirror rules now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import ALERTS, MESSAGES, RESULTS, print_json, size
from mirror.cli.progress_bars import TagBars
from mirror.oci.timestamps import machine_time
from mirror.records.sync_runs import TagChange, TagOutcome, TagRecord

if TYPE_CHECKING:
    from mirror.sync.run_result import RuleResult, RunSummary


def run(
    rules: Annotated[list[str] | None, typer.Argument(metavar="RULE", help="Names of rules. Default: all.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be copied and how many bytes, without copying.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Copy the tags that the mirror rules select from their upstreams.

    Content that is already here is not copied again, and an interrupted run
    continues where it stopped. The command may run beside a server on the same
    data folder. Exit code 3: an upstream failed, or asked for a pause (429, 503).
    The tags that were not tried are tried by the next run. Exit code 1: something
    else failed.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app import mirroring

    settings = settings_of(config, data)
    if dry_run:
        summary = run_to_the_end(mirroring.dry_run(settings, rules or []))
    else:
        with TagBars(MESSAGES) as bars:
            summary = run_to_the_end(mirroring.sync(settings, rules or [], bars))
    if json:
        print_json(_summary_as_json(summary, dry_run=dry_run))
    else:
        _print(summary, dry_run=dry_run)
    errors = [error for result in summary.rules for error in result.errors]
    raise typer.Exit(max((exit_codes.of(error) for error in errors), default=exit_codes.DONE))


def _print(summary: RunSummary, *, dry_run: bool) -> None:
    for result in summary.rules:
        # During a real run each tag has its line from the progress reporter.
        for record in result.tags if dry_run else ():
            RESULTS.out(_line(record), highlight=False)
        for record in result.changed:
            _print_change(record)
        for record in result.tags:
            if record.advice:
                MESSAGES.out(f"note: {record.name}: {record.advice}", highlight=False)
            for warning in record.warnings:
                MESSAGES.out(f"warning: {record.name}: {warning}", highlight=False)
        if result.goes_on_at is not None:
            MESSAGES.out(f"rule {result.rule} {result.reason}", highlight=False)
        elif result.error is not None:
            ALERTS.out(f"error: {result.reason}", highlight=False)
    copied, moved_bytes = summary.count(TagOutcome.COPIED), summary.moved_bytes
    told = [
        f"{summary.count(outcome)} {outcome}"
        for outcome in (TagOutcome.COPIED, TagOutcome.UNCHANGED, TagOutcome.FAILED)
    ]
    rare = (TagOutcome.SKIPPED, TagOutcome.GONE, TagOutcome.DROPPED)
    told += [f"{summary.count(outcome)} {outcome}" for outcome in rare if summary.count(outcome)]
    left = summary.count(TagOutcome.PLANNED)
    told += [f"{left} not tried"] if left else []
    moved = f"; {size(moved_bytes)} from upstream" if moved_bytes else ""
    nothing = "nothing to copy: " if summary.succeeded and not copied else ""
    RESULTS.out(f"{'dry run: ' if dry_run else ''}{nothing}{', '.join(told)}{moved}", highlight=False)


def _line(record: TagRecord) -> str:
    """Return the line of a dry run about one tag."""
    moved = f" {size(record.moved_bytes)}" if record.outcome is TagOutcome.COPIED else ""
    return f"{record.name} {record.outcome}{moved}{f': {record.reason}' if record.reason else ''}"


def _print_change(record: TagRecord) -> None:
    """Print how a tag has moved, and how its privileges differ. Gone and dropped tags have been printed before."""
    if record.change is TagChange.MOVED and record.before is not None and record.after is not None:
        MESSAGES.out(f"moved: {record.name} from {record.before} to {record.after}", highlight=False)
    elif record.change is TagChange.TAKEN_OVER and record.before != record.after:
        MESSAGES.out(f"taken over: {record.name} from {record.before} to {record.after}", highlight=False)
    elif record.change is TagChange.HELD:
        MESSAGES.out(f"held: {record.name} is pinned here and has moved upstream", highlight=False)
    for line in record.difference:
        MESSAGES.out(f"  privilege {line}", highlight=False)


# A dry run and a run have the same shape of JSON, so that a program reads both in the same way.
def _summary_as_json(summary: RunSummary, *, dry_run: bool) -> dict[str, Any]:
    return {
        **{outcome.value: summary.count(outcome) for outcome in TagOutcome},
        "moved_bytes": summary.moved_bytes,
        "dry_run": dry_run,
        "rules": [_rule_as_json(result) for result in summary.rules],
    }


def _rule_as_json(result: RuleResult) -> dict[str, Any]:
    tags = [
        {
            "name": str(record.repository),
            "tag": record.tag and str(record.tag),
            "source": record.source and str(record.source),
            "outcome": record.outcome.value,
            "change": record.change and record.change.value,
            "before": record.before and str(record.before),
            "digest": record.after and str(record.after),
            "derived_from": record.original and str(record.original),
            "privileges": list(record.difference),
            "moved_bytes": record.moved_bytes,
            "advice": record.advice,
            "warnings": list(record.warnings),
            # The reason of a failed tag is its error, which has a key of its own.
            "reason": "" if record.error else record.reason,
            "error": record.error and str(record.error),
        }
        for record in result.tags
    ]
    return {
        "rule": result.rule,
        "error": result.error and str(result.error),
        "paused": result.goes_on_at is not None,
        "goes_on_at": machine_time(result.goes_on_at),
        "tags": tags,
    }
