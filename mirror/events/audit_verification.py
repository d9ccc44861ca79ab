"""Verification of an audit: finds lines that were changed, removed, added or moved. Pure.

Who can write the files can also write a new chain. Checkpoints are therefore signed with a key, and the end of the
chain is known to the catalog and to every copy of a checkpoint that is kept elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mirror.events.audit_chain import CHECKPOINT, ChainEnd, signed_part
from mirror.signing.public_keys import PublicKey

#: Most problems that are kept. One change breaks one place, so more have one cause.
MOST_PROBLEMS: Final = 100


@dataclass(slots=True)
class AuditVerdict:
    """Result of a verification.

    Attributes:
        lines: number of lines.
        first_at: time of the first line; empty for no lines.
        last_at: time of the last line.
        checkpoints: number of checkpoints with a good signature.
        end: end of the chain.
        signed_end: end of the chain at the last good checkpoint.
        problems: places that are wrong, for people.
    """

    lines: int = 0
    first_at: str = ""
    last_at: str = ""
    checkpoints: int = 0
    end: ChainEnd = field(default_factory=ChainEnd)
    signed_end: ChainEnd = field(default_factory=ChainEnd)
    problems: list[str] = field(default_factory=list)


def verify_audit(
    files: Iterable[tuple[str, Iterable[bytes]]], keys: Sequence[PublicKey], known: Sequence[ChainEnd] = ()
) -> AuditVerdict:
    """Verify an audit.

    Args:
        files: names and lines of the files, in order.
        keys: keys that sign checkpoints. Without keys, signatures are not verified.
        known: ends of the chain that are known from elsewhere. Lines of removed files before the first line are not
            looked for.
    """
    verdict, wanted = AuditVerdict(), {end.seq: end for end in known if end.seq}
    for name, lines in files:
        for number, line in enumerate(lines, 1):
            _take(verdict, f"{name}, line {number}", line, keys)
            if (end := wanted.pop(verdict.end.seq, None)) is not None and end != verdict.end:
                _say(verdict, f"{name}, line {number}", "is not the line that is known from elsewhere")
    for end in wanted.values():
        if end.seq > verdict.end.seq:
            verdict.problems.append(
                f"the end is missing: entry {end.seq} is known, and the files end with entry {verdict.end.seq}"
            )
    return verdict


def _take(verdict: AuditVerdict, place: str, line: bytes, keys: Sequence[PublicKey]) -> None:
    told = _parsed(line)
    seq = told.get("seq")
    is_first, before = verdict.lines == 0, verdict.end
    verdict.lines += 1
    if not isinstance(seq, int) or isinstance(seq, bool) or seq < 1:
        _say(verdict, place, "is not an entry of an audit")
        verdict.end = before.after(line)
        return
    if not is_first:
        _compare(verdict, place, told, before)
    verdict.end = ChainEnd(seq - 1).after(line)
    verdict.last_at = str(told.get("at", ""))
    verdict.first_at = verdict.first_at or verdict.last_at
    if told.get("kind") == CHECKPOINT and keys:
        if _is_signed(told, keys):
            verdict.checkpoints += 1
            verdict.signed_end = verdict.end
        else:
            _say(verdict, place, "is a checkpoint that none of the keys has signed")


def _compare(verdict: AuditVerdict, place: str, told: dict[str, Any], before: ChainEnd) -> None:
    """Compare a line with the end of the lines before it."""
    seq = told["seq"]
    if seq > before.seq + 1:
        missing = f"entry {seq - 1} is" if seq == before.seq + 2 else f"entries {before.seq + 1} to {seq - 1} are"
        _say(verdict, place, f"{missing} missing before it")
    elif seq <= before.seq:
        _say(verdict, place, f"has entry {seq}, which comes after entry {before.seq}: entries were moved or repeated")
    elif told.get("prev") != before.hash:
        _say(verdict, place, f"does not continue entry {before.seq}: one of the two was changed")


def _say(verdict: AuditVerdict, place: str, problem: str) -> None:
    if len(verdict.problems) < MOST_PROBLEMS:
        verdict.problems.append(f"{place} {problem}")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_signed(told: dict[str, Any], keys: Sequence[PublicKey]) -> bool:
    try:
        signature = base64.b64decode(told.get("signature", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        return False
    return any(key.verifies(signature, signed_part(told)) for key in keys)
