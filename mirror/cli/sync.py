"""``plugin-mirror sync``: run mirror rules now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.options import ConfigOption, DataOption, JsonOption, flags
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size
from mirror.cli.progress import TagProgress
from mirror.cli.running import run_to_the_end
from mirror.oci.errors import MirrorError
from mirror.settings import load
from mirror.sync.job import RuleResult
from mirror.sync.runner import Summary


def run(
    rules: Annotated[list[str] | None, typer.Argument(metavar="[RULE]...", help="Rules to run, if not all.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Copy what the mirror rules name from their upstreams.

    What is here already is not copied again; an interrupted run goes on where it was. It may run beside a server on
    the same data. Exit code 3: an upstream failed; 1: anything else did.
    """
    from mirror import app

    settings = load(config, flags(storage__path=data))
    with TagProgress(MESSAGES) as progress:
        summary = run_to_the_end(app.sync(settings, rules or [], progress))
    if json:
        print_json(_as_json(summary))
    else:
        _print(summary)
    raise typer.Exit(_exit_code(summary))


def _print(summary: Summary) -> None:
    for result in summary.rules:
        if result.error is not None:
            MESSAGES.out(f"error: {result.error}", highlight=False)
    counts = f"{summary.copied} copied, {summary.unchanged} unchanged, {summary.failed} failed"
    moved = f"; {size(summary.moved_bytes)} from upstream" if summary.moved_bytes else ""
    nothing = "nothing to copy: " if summary.succeeded and not summary.copied else ""
    RESULTS.out(f"{nothing}{counts}{moved}", highlight=False)


def _as_json(summary: Summary) -> dict[str, Any]:
    return {
        "copied": summary.copied,
        "unchanged": summary.unchanged,
        "failed": summary.failed,
        "moved_bytes": summary.moved_bytes,
        "rules": [_rule_as_json(result) for result in summary.rules],
    }


def _rule_as_json(result: RuleResult) -> dict[str, Any]:
    tags = [
        {
            "name": str(tag.repository),
            "tag": None if tag.tag is None else str(tag.tag),
            "source": str(tag.source),
            "outcome": tag.outcome.value,
            "digest": None if tag.digest is None else str(tag.digest),
            "moved_bytes": tag.moved_bytes,
            "error": None if tag.error is None else str(tag.error),
        }
        for tag in result.tags
    ]
    return {"rule": result.rule, "error": None if result.error is None else str(result.error), "tags": tags}


def _exit_code(summary: Summary) -> int:
    errors: list[MirrorError] = [result.error for result in summary.rules if result.error is not None]
    errors += [tag.error for result in summary.rules for tag in result.failed if tag.error is not None]
    return max((exit_codes.of(error) for error in errors), default=exit_codes.DONE)
