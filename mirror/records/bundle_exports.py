"""Records of the bundles that a store has exported, and of what travels with its content."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest, Repository, Tag
from mirror.records.derivations import Derivation


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """Bundle that was exported.

    Attributes:
        stream: stream of the bundle.
        serial: serial in the stream.
        created_at: time of creation, in UTC.
        statement: digest of the statement.
        head: all bytes of the bundle before the first blob. They give the place of every other byte.
    """

    stream: str
    serial: int
    created_at: datetime
    statement: Digest
    head: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TagSource:
    """Source of a tag.

    Attributes:
        rule: mirror rule that brought the tag; empty if no rule did.
        source: ``UPSTREAM/NAME``; empty for a tag that a client pushed.
        brought_at: time at which the content was last brought or confirmed, in UTC; None if unknown.
    """

    rule: str = ""
    source: str = ""
    brought_at: datetime | None = None


class BundleExports(Protocol):
    """Port that stores exported bundles, and reads the facts that travel with content."""

    async def last_export(self, stream: str | None = None) -> ExportRecord | None:
        """Return the export with the highest serial of a stream, or the latest one of all streams; None without any."""
        ...

    async def export_with(self, statement: Digest) -> ExportRecord | None:
        """Return the export with a statement; None if it was not exported here."""
        ...

    async def exports_between(self, stream: str, first: int, last: int) -> Sequence[ExportRecord]:
        """Return the exports of a stream from a serial to another one, in the order of their serials."""
        ...

    async def record_export(self, record: ExportRecord) -> bool:
        """Record an export. An export that is recorded already is recorded again.

        Returns:
            False if the serial is taken: the stream has another bundle with this serial or a higher one.
        """
        ...

    async def tag_sources(self) -> Mapping[tuple[Repository, Tag], TagSource]:
        """Return the sources of all tags of the store."""
        ...

    async def first_seen(self, digests: Collection[Digest]) -> Mapping[Digest, datetime]:
        """Return the time at which each manifest was first held, here or by the sender of the bundle it came with."""
        ...

    async def derivations_of(self, digests: Collection[Digest]) -> Mapping[Digest, Derivation]:
        """Return the derivations of the manifests that are derived copies."""
        ...
