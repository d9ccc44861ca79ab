"""Verification of an audit: finds lines that were changed, removed, added or moved. Pure.

Who can write the files can also write a new chain. Checkpoints are therefore signed with a key, and the end of the
chain is known to the catalog and to every copy of a checkpoint that is kept elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mirror.events.audit_chain import CHECKPOINT, ChainEnd, entry_of, signed_part
from mirror.oci.printable_text import printable
from mirror.signing.public_keys import PublicKey

#: Most problems that are kept. One change breaks one place, so more have one cause.
MOST_PROBLEMS: Final = 100
_MOST_TIME: Final = 40


@dataclass(slots=True)
class AuditVerdict:
    """Result of a verification.

    Attributes:
        lines: number of lines.
        first_seq: number of the first line; 0 for no lines.
        begin: number of the first line that is to be kept.
        first_at: time of the first line; empty for no lines.
        last_at: time of the last line.
        checkpoints: number of checkpoints with a good signature.
        end: end of the chain.
        signed_end: end of the chain at the last good checkpoint.
        problems: places that are wrong, for people.
    """

    lines: int = 0
    first_seq: int = 0
    begin: int = 1
    first_at: str = ""
    last_at: str = ""
    checkpoints: int = 0
    end: ChainEnd = field(default_factory=ChainEnd)
    signed_end: ChainEnd = field(default_factory=ChainEnd)
    problems: list[str] = field(default_factory=list)


def verify_audit(
    files: Iterable[tuple[str, Iterable[bytes]]],
    keys: Sequence[PublicKey],
    known: Sequence[ChainEnd] = (),
    begin: int = 1,
) -> AuditVerdict:
    """Verify an audit.

    Args:
        files: names and lines of the files, in order.
        keys: keys that sign checkpoints. Without keys, signatures are not verified.
        known: ends of the chain that are known from elsewhere. Lines of removed files before the first line are not
            looked for.
        begin: number of the first line that is kept, as far as it is known. A later checkpoint may have a larger one.
    """
    verdict, wanted = AuditVerdict(begin=begin), {end.seq: end for end in known if end.seq}
    for name, lines in files:
        for number, line in enumerate(lines, 1):
            _take(verdict, f"{name}, line {number}", line, keys)
            if (end := wanted.pop(verdict.end.seq, None)) is not None and end != verdict.end:
                _say(verdict, f"{name}, line {number}", "is not the line that is known from elsewhere")
    if verdict.first_seq > verdict.begin:
        missing = _entries(verdict.begin, verdict.first_seq - 1)
        verdict.problems.insert(
            0, f"the begin is missing: the files have no {missing}, and they are not too old to keep"
        )
    for end in wanted.values():
        if end.seq > verdict.end.seq:
            verdict.problems.append(
                f"the end is missing: entry {end.seq} is known, and the files end with entry {verdict.end.seq}"
            )
    return verdict


def _take(verdict: AuditVerdict, place: str, line: bytes, keys: Sequence[PublicKey]) -> None:
    told = entry_of(line)
    is_first, before = verdict.lines == 0, verdict.end
    verdict.lines += 1
    if not told:
        _say(verdict, place, "is not an entry of an audit")
        verdict.end = before.after(line)
        return
    if not is_first:
        _compare(verdict, place, told, before)
    verdict.end = ChainEnd(told["seq"] - 1).after(line)
    verdict.first_seq = verdict.first_seq or told["seq"]
    verdict.last_at = printable(str(told.get("at", "")), _MOST_TIME)
    verdict.first_at = verdict.first_at or verdict.last_at
    if told.get("kind") == CHECKPOINT and keys:
        if _is_signed(told, keys):
            verdict.checkpoints += 1
            verdict.signed_end = verdict.end
            verdict.begin = max(verdict.begin, _number(told, "begin"))
        else:
            _say(verdict, place, "is a checkpoint that none of the keys has signed")


def _compare(verdict: AuditVerdict, place: str, told: dict[str, Any], before: ChainEnd) -> None:
    """Compare a line with the end of the lines before it."""
    seq = told["seq"]
    if seq > before.seq + 1:
        is_one = seq == before.seq + 2
        _say(verdict, place, f"{_entries(before.seq + 1, seq - 1)} {'is' if is_one else 'are'} missing before it")
    elif seq <= before.seq:
        _say(verdict, place, f"has entry {seq}, which comes after entry {before.seq}: entries were moved or repeated")
    elif told.get("prev") != before.hash:
        _say(verdict, place, f"does not continue entry {before.seq}: one of the two was changed")


def _entries(first: int, last: int) -> str:
    return f"entry {first}" if first == last else f"entries {first} to {last}"


def _number(told: dict[str, Any], name: str) -> int:
    number = told.get(name)
    return number if type(number) is int else 0


def _say(verdict: AuditVerdict, place: str, problem: str) -> None:
    if len(verdict.problems) < MOST_PROBLEMS:
        verdict.problems.append(f"{place} {problem}")


def _is_signed(told: dict[str, Any], keys: Sequence[PublicKey]) -> bool:
    try:
        signature = base64.b64decode(told.get("signature", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        return False
    return any(key.verifies(signature, signed_part(told)) for key in keys)
