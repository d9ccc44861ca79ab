"""``plugin-mirror audit``: who changed what, and whether the record of it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_json, wrapped
from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time
from mirror.runtime.clock import SystemClock
from mirror.runtime.durations import parse_duration

if TYPE_CHECKING:
    from mirror.events.audit_chain import ChainEnd

#: Hexadecimal digits of a digest on a terminal, and the longest value and line there. A pipe gets all.
_SHOWN = 12
_MOST_VALUE = 200
_MOST_LINE = 2000


def show(
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="From this time on: 7d, 6h, or 2026-11-30."),
    ] = None,
    who: Annotated[
        str | None, typer.Option("--who", metavar="NAME", help="Only changes by this user, rule or address.")
    ] = None,
    about: Annotated[
        str | None,
        typer.Option("--about", metavar="TEXT", help="Only changes whose subject or digest contains this text."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="KIND", help="Only this kind, such as tag.moved, or tag."),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Show the entries of the audit, the oldest first.

    Lines are not verified: 'plugin-mirror audit verify' does.
    """
    from mirror.app.events.audit_keeping import audit_entries

    begin = None if since is None else machine_time(_moment(since))

    def is_wanted(entry: Mapping[str, Any]) -> bool:
        return (
            (begin is None or str(entry.get("at", "")) >= begin)
            and (who is None or who in _names(entry))
            and (about is None or any(about in str(entry.get(key, "")) for key in ("subject", "before", "after")))
            and (kind is None or f"{entry.get('kind')}.".startswith(f"{kind}."))
        )

    found = run_to_the_end(audit_entries(settings_of(config, data), is_wanted))
    if json:
        print_json(found)
    elif found:
        for entry in found:
            RESULTS.out(wrapped(RESULTS, _told(entry), 4), highlight=False)
    else:
        MESSAGES.out("no entry of the audit matches")


def verify(
    *,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Public key of checkpoints. Default: that of the data folder.",
        ),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--checkpoint", metavar="SEQ:HASH", help="Checkpoint that the log or another machine has. Repeatable."
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Verify that no entry was changed, removed, added or moved.

    Who controls this machine can write a new audit with a new key. Keep the
    public key ('audit key') and some checkpoints elsewhere, and verify with them.

    Exit code 1: the audit is not whole.
    """
    from mirror.app.events.audit_keeping import verified_audit
    from mirror.signing.public_keys import PublicKey

    keys = [PublicKey.parse_pem(_read(path), str(path)) for path in key or ()]
    verdict = run_to_the_end(verified_audit(settings_of(config, data), keys, _checkpoints(checkpoint or ())))
    if json:
        print_json(
            {
                "whole": not verdict.problems,
                "entries": verdict.lines,
                "first_at": verdict.first_at,
                "last_at": verdict.last_at,
                "checkpoints": verdict.checkpoints,
                "signed_to": str(verdict.signed_end),
                "end": str(verdict.end),
                "problems": verdict.problems,
            }
        )
    else:
        for problem in verdict.problems:
            RESULTS.out(wrapped(RESULTS, problem, 4), highlight=False)
        is_whole = "is whole" if not verdict.problems else "IS NOT WHOLE"
        times = f" from {verdict.first_at} to {verdict.last_at}" if verdict.lines else ""
        RESULTS.out(
            wrapped(
                RESULTS,
                f"the audit {is_whole}: {counted(verdict.lines, 'line')}{times}, "
                f"{counted(verdict.checkpoints, 'good checkpoint')}, signed to entry {verdict.signed_end.seq} of "
                f"{verdict.end.seq}",
                4,
            ),
            highlight=False,
        )
    raise typer.Exit(exit_codes.ANSWER_IS_NO if verdict.problems else exit_codes.DONE)


def key_(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Print the public key that verifies the checkpoints of the audit."""
    from mirror.app.events.audit_keeping import public_key

    key = public_key(settings_of(config, data)).to_pem().decode()
    if json:
        print_json({"public_key": key})
    else:
        RESULTS.out(key, end="")


def _moment(text: str) -> datetime:
    """Return a time that is given as an age or as a date. Raises ConfigurationFault."""
    now = SystemClock().now()
    try:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return now - parse_duration(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ConfigurationFault, OverflowError) as error:
        raise ConfigurationFault(
            f"--since: {printable(text, 40)!r} is no time; fix: write an age such as 7d, or a date such as 2026-11-30"
        ) from error


def _checkpoints(given: Iterable[str]) -> list[ChainEnd]:
    from mirror.events.audit_chain import ChainEnd

    try:
        return [ChainEnd.parse(text) for text in given]
    except ValueError as error:
        raise ConfigurationFault(f"--checkpoint: {error}; fix: copy it from the log line 'audit checkpoint'") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationFault(f"{path} cannot be read: {error.strerror}") from error


def _part(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object in an entry. Somebody may have changed the files, so it may be anything."""
    part = entry.get(name)
    return part if isinstance(part, dict) else {}


def _names(entry: Mapping[str, Any]) -> set[str]:
    """Return the names under which ``--who`` finds an entry."""
    actor, detail = _part(entry, "actor"), _part(entry, "detail")
    return {str(name) for name in (*map(actor.get, ("name", "address", "kind")), detail.get("by")) if name}


def _told(entry: Mapping[str, Any]) -> str:
    """Return an entry as one line for people."""
    actor = _part(entry, "actor")
    who = actor.get("name") or actor.get("kind", "")
    where = f" from {actor['address']}" if actor.get("address") else ""
    where += f" ({actor['allowed_by']})" if actor.get("allowed_by") else ""
    subject = str(entry.get("subject", ""))
    # A subject with a digest need not be followed by the same digest.
    given = [str(entry[key]) for key in ("before", "after") if entry.get(key)]
    values = [_short(value) for value in given if value not in subject]
    more = {**_part(entry, "detail"), "rule": entry.get("rule", ""), "reason": entry.get("reason", "")}
    facts = [f"{name}: {value}" for name, value in more.items() if value]
    parts = [
        str(entry.get("at", "?")),
        str(entry.get("kind", "not an entry")),
        subject,
        " -> ".join(values),
        f"by {who}{where}" if who else "",
        "; ".join(facts),
    ]
    line = "  ".join(part for part in parts if part)
    return printable(line, _MOST_LINE) if RESULTS.is_terminal else printable(line)


def _short(value: str) -> str:
    if not RESULTS.is_terminal:
        return value
    algorithm, colon, hexadecimal = value.partition(":")
    return f"{algorithm}:{hexadecimal[:_SHOWN]}" if colon else value[:_MOST_VALUE]
