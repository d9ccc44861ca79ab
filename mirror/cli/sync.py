"""``plugin-mirror sync``: run mirror rules now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.options import ConfigOption, DataOption, JsonOption, flags
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.cli.progress import TagBars
from mirror.cli.running import run_to_the_end
from mirror.oci.errors import MirrorError
from mirror.registry.journal import Change, Outcome
from mirror.settings import load

if TYPE_CHECKING:
    from mirror.sync.preview import Preview, RulePreview
    from mirror.sync.result import RuleResult, TagResult
    from mirror.sync.runner import Summary


def run(
    rules: Annotated[list[str] | None, typer.Argument(metavar="[RULE]...", help="Rules to run, if not all.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done, and how much would move.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Copy what the mirror rules name from their upstreams.

    What is here already is not copied again; an interrupted run goes on where it was. It may run beside a server on
    the same data. Exit code 3: an upstream failed; 1: anything else did.
    """
    from mirror.app import mirroring

    settings = load(config, flags(storage__path=data))
    if dry_run:
        _show(run_to_the_end(mirroring.preview_sync(settings, rules or [])), json=json)
        return
    with TagBars(MESSAGES) as bars:
        summary = run_to_the_end(mirroring.sync(settings, rules or [], bars))
    if json:
        print_json(_as_json(summary))
    else:
        _print(summary)
    raise typer.Exit(_exit_code(summary))


def _print(summary: Summary) -> None:
    for result in summary.rules:
        for tag in result.changed:
            _print_change(tag)
        if result.error is not None:
            MESSAGES.out(f"error: {result.error}", highlight=False)
    copied, moved_bytes = summary.count(Outcome.COPIED), summary.moved_bytes
    told = [f"{summary.count(outcome)} {outcome}" for outcome in (Outcome.COPIED, Outcome.UNCHANGED, Outcome.FAILED)]
    rare = (Outcome.SKIPPED, Outcome.GONE, Outcome.DROPPED)
    told += [f"{summary.count(outcome)} {outcome}" for outcome in rare if summary.count(outcome)]
    moved = f"; {size(moved_bytes)} from upstream" if moved_bytes else ""
    nothing = "nothing to copy: " if summary.succeeded and not copied else ""
    RESULTS.out(f"{nothing}{', '.join(told)}{moved}", highlight=False)


def _print_change(tag: TagResult) -> None:
    """Say what has moved, and what it asks of hosts now; what is gone or dropped has been said."""
    name = f"{tag.repository}:{tag.tag}"
    if tag.change is Change.MOVED and tag.before is not None and tag.digest is not None:
        MESSAGES.out(f"moved: {name} from {tag.before} to {tag.digest}", highlight=False)
    elif tag.change is Change.HELD:
        MESSAGES.out(f"held: {name} has moved upstream", highlight=False)
    for line in tag.difference:
        MESSAGES.out(f"  privilege {line}", highlight=False)


def _as_json(summary: Summary) -> dict[str, Any]:
    return {
        **{outcome.value: summary.count(outcome) for outcome in Outcome if outcome is not Outcome.PLANNED},
        "moved_bytes": summary.moved_bytes,
        "rules": [_rule_as_json(result) for result in summary.rules],
    }


def _rule_as_json(result: RuleResult) -> dict[str, Any]:
    tags = [
        {
            "name": str(tag.repository),
            "tag": tag.tag and str(tag.tag),
            "source": str(tag.source),
            "outcome": tag.outcome.value,
            "change": tag.change and tag.change.value,
            "before": tag.before and str(tag.before),
            "digest": tag.digest and str(tag.digest),
            "derived_from": tag.original and str(tag.original),
            "privileges": list(tag.difference),
            "moved_bytes": tag.moved_bytes,
            "reason": tag.reason,
            "error": tag.error and str(tag.error),
        }
        for tag in result.tags
    ]
    return {"rule": result.rule, "error": result.error and str(result.error), "tags": tags}


def _exit_code(summary: Summary) -> int:
    errors: list[MirrorError] = [result.error for result in summary.rules if result.error is not None]
    errors += [tag.error for result in summary.rules for tag in result.failed if tag.error is not None]
    return max((exit_codes.of(error) for error in errors), default=exit_codes.DONE)


def _show(rules: list[RulePreview], *, json: bool) -> None:
    if json:
        print_json({"rules": [_preview_as_json(rule) for rule in rules], "size_bytes": _size(_tags(rules))})
        return
    for rule in rules:
        for tag in rule.tags:
            RESULTS.out(_line(tag), highlight=False)
        if rule.error is not None:
            MESSAGES.out(f"error: {rule.error}", highlight=False)
    tags = _tags(rules)
    planned = sum(tag.outcome is Outcome.PLANNED for tag in tags)
    RESULTS.out(f"{planned} of {len(tags)} tags would be copied: {size(_size(tags))}", highlight=False)


def _line(tag: Preview) -> str:
    name = f"{tag.repository}:{tag.tag}" if tag.tag else str(tag.repository)
    if tag.outcome is not Outcome.PLANNED:
        return f"{name} {tag.outcome}{f': {tag.reason}' if tag.reason else ''}"
    referrers = f", with {tag.referrers} that refer to it" if tag.referrers else ""
    derived = f", derived with {tag.derived}" if tag.derived else ""
    moved = f", from {tag.before}{f' to {tag.after}' if tag.after else ''}" if tag.before else ""
    return f"{name} copy {tag.blobs} blobs, {size(tag.size_bytes)}{referrers}{derived}{moved}"


def _preview_as_json(rule: RulePreview) -> dict[str, Any]:
    tags = [
        {
            "name": str(tag.repository),
            "tag": tag.tag and str(tag.tag),
            "source": str(tag.source),
            "outcome": tag.outcome.value,
            "change": tag.change and tag.change.value,
            "before": tag.before and str(tag.before),
            "after": tag.after and str(tag.after),
            "blobs": tag.blobs,
            "size_bytes": tag.size_bytes,
            "referrers": tag.referrers,
            "derived": tag.derived,
            "reason": tag.reason,
        }
        for tag in rule.tags
    ]
    return {"rule": rule.rule, "error": rule.error and str(rule.error), "tags": tags}


def _tags(rules: Iterable[RulePreview]) -> list[Preview]:
    return [tag for rule in rules for tag in rule.tags]


def _size(tags: Iterable[Preview]) -> int:
    return sum(tag.size_bytes for tag in tags)
