"""Lines of the audit. Each line has the hash of the line before it, and checkpoints are signed. Pure.

A line is a JSON object in ASCII, so that no text in it can begin a line of its own. ``seq`` counts the lines.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from mirror.oci.timestamps import machine_time
from mirror.records.changes.change import RecordedChange
from mirror.signing.private_keys import PrivateKey

#: Kind of the lines that are signed.
CHECKPOINT: Final = "audit.checkpoint"

_HASH_LENGTH: Final = 64
_MOST_LINES: Final = 10**15


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last line of a chain.

    Attributes:
        seq: number of the line; 0 for an empty chain.
        hash: SHA-256 of the line in hexadecimal; 64 zeros for an empty chain.
    """

    seq: int = 0
    hash: str = "0" * _HASH_LENGTH

    @classmethod
    def parse(cls, text: str) -> ChainEnd:
        """Parse the text of a chain end, as :meth:`__str__` writes it.

        Raises:
            ValueError: the text is no chain end.
        """
        seq, _, digest = text.partition(":")
        if not (seq.isascii() and seq.isdecimal() and len(digest) == _HASH_LENGTH):
            raise ValueError(f"no end of an audit: {text[:100]!r}")
        return cls(int(seq), digest)

    def after(self, line: bytes) -> ChainEnd:
        """Return the end after one more line, which is given without its line feed."""
        return ChainEnd(self.seq + 1, hashlib.sha256(line).hexdigest())

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """The place that the audit has reached, as the catalog keeps it.

    Attributes:
        end: end of the chain.
        begin: number of the first line that is kept.
    """

    end: ChainEnd = ChainEnd()
    begin: int = 1

    @classmethod
    def parse(cls, text: str) -> AuditPlace:
        """Parse the text of a place, as :meth:`__str__` writes it. Raises ValueError."""
        end, _, begin = text.partition(" ")
        return cls(ChainEnd.parse(end), int(begin))

    def __str__(self) -> str:
        return f"{self.end} {self.begin}"


def change_entry(recorded: RecordedChange) -> dict[str, object]:
    """Return the entry of a change without its place in a chain."""
    told = {name: value for name, value in asdict(recorded.change).items() if value}
    told["actor"] = {name: value for name, value in asdict(recorded.actor).items() if value}
    return {"at": machine_time(recorded.at), **told, "change": recorded.id}


def change_line(end: ChainEnd, recorded: RecordedChange) -> bytes:
    """Return the line of a change, without a line feed."""
    return _line(end, change_entry(recorded))


def checkpoint_line(place: AuditPlace, at: datetime, key: PrivateKey) -> bytes:
    """Return a signed line, without a line feed. It covers all lines before it through the chain of hashes.

    ``begin`` says which lines are kept, so that nobody can remove old ones unseen.
    """
    told = {"at": machine_time(at), "kind": CHECKPOINT, "begin": place.begin, "key": key.public.fingerprint}
    signature = key.sign(_line(place.end, told))
    return _line(place.end, {**told, "signature": base64.b64encode(signature).decode()})


def signed_part(line: Mapping[str, Any]) -> bytes:
    """Return the bytes that the signature of a checkpoint covers."""
    return _encoded({name: value for name, value in line.items() if name != "signature"})


def entry_of(line: bytes) -> dict[str, Any]:
    """Return a line as an object; empty if it is no entry of an audit."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    is_entry = isinstance(entry, dict) and type(seq := entry.get("seq")) is int and 0 < seq <= _MOST_LINES
    return entry if is_entry else {}


def lines_after(end: ChainEnd, changes: Sequence[RecordedChange]) -> tuple[bytes, ChainEnd]:
    """Return the lines of changes, each with a line feed, and the new end of the chain."""
    lines = bytearray()
    for one in changes:
        line = change_line(end, one)
        end = end.after(line)
        lines += line + b"\n"
    return bytes(lines), end


def _line(end: ChainEnd, told: Mapping[str, object]) -> bytes:
    return _encoded({"seq": end.seq + 1, **told, "prev": end.hash})


def _encoded(line: Mapping[str, object]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode()
