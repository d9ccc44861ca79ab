"""``plugin-mirror bundle show``: show the contents of a bundle, and what it changes here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mirror.cli.async_command import run_to_the_end
from mirror.cli.bundles.bundle_options import FoldersOption, PublicKeysOption
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, heading, print_facts, print_json, size
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time, time_ago

if TYPE_CHECKING:
    from mirror.app.bundles.bundle_showing import ShownBundle
    from mirror.bundle.report.content_changes import NameChange
    from mirror.plugin.policy.privilege_pattern import RequestedPrivilege

#: Names and lines for people. ``--json`` has no limit.
_MOST_NAMES: Final = 200
_MOST_LINES: Final = 50
_KEY_SHOWN: Final = 16


def run(
    file: Annotated[Path, typer.Argument(metavar="F", help="The bundle, the table of its parts, or a part.")],
    *,
    key: PublicKeysOption = None,
    parts: FoldersOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Show the contents of a bundle, and what it changes here.

    With a data folder, the contents are compared with what it holds: new and
    grown privileges come first. Only the first part of the bundle is read, so
    this is fast for any size. 'bundle verify' reads every byte.

    Signatures and serial are judged as by 'bundle import': with --key, and with
    the keys that the data folder records.

    Exit code 1: the file is not a bundle, was touched, or --key is given and no
    trusted key has signed.
    """
    # Imported late, so that --help and wrong options need not wait for the libraries behind it.
    from mirror.app.bundles.bundle_showing import show_bundle

    settings = settings_of(config, data)
    shown = run_to_the_end(show_bundle(settings, file, parts or (), key or ()))
    if json:
        print_json(_as_json(shown))
    else:
        _print(file, shown, settings.storage.path)


def _as_json(shown: ShownBundle) -> dict[str, Any]:
    statement, since = shown.head.statement, shown.head.statement.since
    return {
        "stream": statement.stream,
        "serial": statement.serial,
        "created": machine_time(statement.created),
        "age_seconds": int((shown.at - statement.created).total_seconds()),
        "statement": str(shown.head.envelope.digest),
        "previous": statement.previous and str(statement.previous),
        "since": since and {"receipt": since.receipt and str(since.receipt), "serial": since.serial},
        "size_bytes": shown.size_bytes,
        "signatures": [signature.key_id for signature in shown.head.envelope.signatures],
        "trusted_signers": list(shown.trust.signers),
        "last_imported": shown.known
        and {"serial": shown.known.serial, "imported_at": machine_time(shown.known.imported_at)},
        "order": shown.verdict and shown.verdict.value,
        "compared": shown.is_compared,
        "warnings": list(shown.warnings),
        "names": [change.to_json() for change in shown.changes],
    }


def _print(file: Path, shown: ShownBundle, folder: Path) -> None:
    statement = shown.head.statement
    made = f"{machine_time(statement.created)}, {time_ago(statement.created, shown.at)}"
    print_facts(
        f"{file}: bundle {statement.serial} of stream {statement.stream}",
        [
            ("Made", made),
            ("Size", f"{size(shown.size_bytes)}, {counted(len(shown.changes), 'name')}"),
            ("Signature", _signature(shown)),
            ("Statement", str(shown.head.envelope.digest)),
            ("Delta", _delta(shown)),
            ("Here", _here(shown, folder)),
        ],
    )
    grown = [change for change in shown.changes if change.added]
    other = [change for change in shown.changes if not change.added and change.status != "same"]
    same = len(shown.changes) - len(grown) - len(other)
    if shown.is_compared:
        _print_changes("New and grown privileges", grown)
        _print_changes("Other changes", other)
    else:
        _print_changes("Contents, those with privileges first", [*grown, *other], with_status=False)
    if not shown.changes:
        heading("No names: everything is as the receiver has it")
    if same:
        heading(f"Unchanged: {counted(same, 'name')}")
    for warning in shown.warnings:
        MESSAGES.out(f"warning: {printable(warning)}", highlight=False)


def _signature(shown: ShownBundle) -> str:
    if shown.trust.signers:
        are = "is" if len(shown.trust.signers) == 1 else "are"
        return f"signed by {_keys(shown.trust.signers)}, which {are} trusted"
    signatures = shown.head.envelope.signatures
    if not signatures:
        return "not signed"
    return (
        f"by {_keys(each.key_id for each in signatures)}, not checked; fix: name the key of the sender with --key F.pub"
    )


def _keys(key_ids: Iterable[str]) -> str:
    return ", ".join(key_id[:_KEY_SHOWN] for key_id in key_ids)


def _delta(shown: ShownBundle) -> str:
    since = shown.head.statement.since
    if since is None:
        return ""
    if since.receipt is not None:
        return f"without what is in receipt {since.receipt}"
    return f"without what the bundles up to {since.serial} have"


def _here(shown: ShownBundle, folder: Path) -> str:
    if not shown.is_compared:
        return f"no data folder {folder} to compare with; fix: name one with --data"
    if shown.known is None:
        return "no bundle of this stream was imported"
    last = f"last imported: bundle {shown.known.serial}, {time_ago(shown.known.imported_at, shown.at)}"
    if shown.verdict is None:
        return f"{last}; an import refuses this one"
    notes = {"same": "this one", "gap": "the bundles in between were not imported"}
    note = notes.get(shown.verdict.value)
    return last if note is None else f"{last}; {note}"


def _print_changes(title: str, changes: list[NameChange], *, with_status: bool = True) -> None:
    if not changes:
        return
    heading(title)
    for change in changes[:_MOST_NAMES]:
        facts = change.facts
        known = [change.status.value] if with_status else []
        known += [] if facts is None else [facts.kind, size(facts.size_bytes)]
        RESULTS.out(f"  {change.named}  ({', '.join(known)})", highlight=False)
        for line, style in _lines(change):
            RESULTS.out(f"    {printable(line)}", style=style, highlight=False)
    if len(changes) > _MOST_NAMES:
        RESULTS.out(f"  … {len(changes)} in total; --json lists all of them", highlight=False)


def _lines(change: NameChange) -> list[tuple[str, str | None]]:
    """Return the lines below a name with their styles."""
    if change.facts is None:
        return [("the content is not in the bundle, and not here", "yellow")]
    added = set(change.added)
    lines: list[tuple[str, str | None]] = []
    if change.is_reported:
        lines.append(("as the sender reports; the content is not here", "yellow"))
    if change.privileges is None:
        lines.append(("its privileges are not known", "bold red"))
    else:
        lines += [_privilege(one, "+" if one in added else " ") for one in change.privileges]
    lines += [_privilege(one, "-") for one in change.removed]
    lines += [(f"{severity}: {code}", None) for code, severity in change.facts.findings if severity == "error"]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], (f"… {len(lines)} lines in total; --json lists all of them", None)]
    return lines


def _privilege(one: RequestedPrivilege, sign: str) -> tuple[str, str | None]:
    from mirror.plugin.policy.privilege_pattern import describe_privilege

    return f"{sign} {describe_privilege(one)}", "bold red" if sign == "+" else None
