"""The journal of an export: which bytes of an unfinished bundle are written. Pure.

A killed process loses nothing that it had written, but a machine without power does. So the journal tells apart what is
synced, which an export that goes on relies on, from what is only written, which it reads again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mirror.bundle.format.statement import MOST_MEMBERS
from mirror.oci import Digest
from mirror.oci.errors import ClientFault
from mirror.oci.manifest import parse_json_object
from mirror.oci.timestamps import machine_time
from mirror.plugin.build.assembly import canonical_json

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ExportJournal:
    """Progress of an export.

    Attributes:
        places: digest of the places of the blobs (:attr:`mirror.bundle.export.export_plan.ExportPlan.places`).
        stream: stream of the statement.
        serial: serial of the statement.
        created: time of creation.
        previous: digest of the statement before.
        synced: numbers of the blobs, in the order of the bundle, whose bytes are on the disk.
        written: numbers of the blobs whose bytes are written.
        begun: number of bytes that are written of each other blob.
    """

    places: Digest
    stream: str
    serial: int
    created: datetime
    previous: Digest | None = None
    synced: frozenset[int] = frozenset()
    written: frozenset[int] = frozenset()
    begun: Mapping[int, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the journal as one line of JSON."""
        return canonical_json(
            {
                "format": _FORMAT,
                "places": str(self.places),
                "stream": self.stream,
                "serial": self.serial,
                "created": machine_time(self.created),
                "previous": self.previous and str(self.previous),
                "synced": _ranges(self.synced),
                "written": _ranges(self.written),
                "begun": {str(number): size_bytes for number, size_bytes in sorted(self.begun.items())},
            },
            "journal",
        )

    @classmethod
    def parse(cls, content: bytes) -> ExportJournal | None:
        """Return the journal in a line; None if the line is not whole."""
        try:
            value = parse_json_object(content, "journal")
            if value["format"] != _FORMAT:
                return None
            return cls(
                Digest.parse(value["places"]),
                str(value["stream"]),
                int(value["serial"]),
                datetime.fromisoformat(value["created"]),
                None if value["previous"] is None else Digest.parse(value["previous"]),
                _numbers(value["synced"]),
                _numbers(value["written"]),
                {int(number): int(size_bytes) for number, size_bytes in value["begun"].items()},
            )
        except (ClientFault, KeyError, TypeError, ValueError, AttributeError):
            return None


def _ranges(numbers: Collection[int]) -> list[list[int]]:
    """Return numbers as ranges, first and last. Blobs are written nearly in order, so there are few."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def _numbers(ranges: Iterable[Any]) -> frozenset[int]:
    numbers: set[int] = set()
    for first, last in ranges:
        if not 0 <= first <= last < MOST_MEMBERS:
            raise ValueError("no bundle has so many blobs")
        numbers.update(range(first, last + 1))
    return frozenset(numbers)
