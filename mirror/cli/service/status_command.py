"""``plugin-mirror status``: state of the mirror rules and of the streams of bundles."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json, size, wrapped
from mirror.cli.terminal.tables import print_table
from mirror.oci.timestamps import rounded_span, time_ago
from mirror.records.sync_runs import TagChange, TagEvent

if TYPE_CHECKING:
    from mirror.bundle.stream_status import StreamStatus
    from mirror.sync.rule_status import RuleStatus

_EVENTS_SHOWN = 10
_WARNINGS_SHOWN = 20


def run(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Show last run, result, next run and latest tag changes of each mirror rule.

    The last bundle of each imported stream is shown too.

    Exit code 1: the last finished run of a rule failed, was interrupted, or is
    paused because its upstream asked for a pause.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_streams import imported_streams
    from mirror.app.mirroring import mirror_statuses

    settings = settings_of(config, data)
    states, streams = run_to_the_end(mirror_statuses(settings)), run_to_the_end(imported_streams(settings))
    if json:
        print_json(
            {
                "mirrors": [state.to_json() for state in states],
                "bundles": [stream.to_json() for stream in streams],
            }
        )
    else:
        _print(states)
        _print_streams(streams)
    # A run in progress does not count: the one before it decides the exit code.
    wrong = any(state.failure is not None for state in states)
    raise typer.Exit(exit_codes.ANSWER_IS_NO if wrong else exit_codes.DONE)


def _print(states: list[RuleStatus]) -> None:
    if not states:
        MESSAGES.out("the configuration has no mirror rules", highlight=False)
        return
    print_table(
        RESULTS,
        ("RULE", "STATE", "LAST RUN", "LAST SUCCESS", "NEXT RUN", "TAGS", "FROM UPSTREAM"),
        list(map(_row, states)),
        wrap=["FROM UPSTREAM", "LAST SUCCESS", "LAST RUN", "NEXT RUN", "STATE"],
        right=["TAGS", "FROM UPSTREAM"],
    )
    for state in states:
        _print_details(state)


def _row(state: RuleStatus) -> tuple[str, ...]:
    last = state.last_run
    return (
        state.rule.name,
        state.state,
        time_ago(last.started_at if last else None, state.at),
        time_ago(state.last_success_at, state.at),
        "by hand" if state.next_run_at is None else _ahead(state.next_run_at, state.at),
        str(len(state.held)),
        size(last.moved_bytes) if last else "",
    )


def _print_streams(streams: list[StreamStatus]) -> None:
    if not streams:
        return
    rows = [
        (
            stream.stream,
            str(stream.serial),
            time_ago(stream.created_at, stream.at),
            time_ago(stream.imported_at, stream.at),
            "yes" if stream.is_signed else "no",
        )
        for stream in streams
    ]
    RESULTS.out()
    headings = ("STREAM", "LAST BUNDLE", "MADE", "IMPORTED", "SIGNED")
    print_table(RESULTS, headings, rows, wrap=["MADE", "IMPORTED"], right=["LAST BUNDLE"])
    for stream in streams:
        if stream.warning is not None:
            MESSAGES.out(f"warning: {stream.stream}: {stream.warning}", highlight=False)


def _print_details(state: RuleStatus) -> None:
    lines = [] if state.rule.changes is None else [f"tags of this rule are derived copies with {state.rule.changes}"]
    if state.is_changed:
        due = "due by hand" if state.next_run_at is None else "due now"
        lines.append(f"changed since its last run: {due}")
    if state.failure is not None and state.failure.reason:
        lines.append(f"reason: {state.failure.reason}")
    lines += [f"{tag.repository}:{tag.tag} no longer exists upstream but is kept here" for tag in state.gone]
    lines += [
        f"{tag.repository}:{tag.tag} is pinned; upstream the tag points to {tag.upstream_digest}"
        for tag in state.behind
    ]
    lines += [f"warning: {record.name}: {warning}" for record in state.records for warning in record.warnings][
        :_WARNINGS_SHOWN
    ]
    # Every tag of a new rule appears once. Those events would push the ones that matter out of the list.
    told = [event for event in state.events if event.change is not TagChange.APPEARED][:_EVENTS_SHOWN]
    for event in told:
        lines.append(_event(event, state.at))
        lines += [f"  privilege {line}" for line in event.difference]
    if lines:
        RESULTS.out(f"\n{state.rule.name}", style="bold", highlight=False)
    for line in lines:
        RESULTS.out(wrapped(RESULTS, f"  {line}", 6), highlight=False)


def _event(event: TagEvent, now: datetime) -> str:
    moved = f" from {event.before} to {event.after}" if event.before and event.after else ""
    return f"{time_ago(event.at, now)}: {event.repository}:{event.tag} {event.change}{moved}, at {event.source}"


def _ahead(moment: datetime, now: datetime) -> str:
    return "due" if moment <= now else f"in {rounded_span(moment - now)}"
