"""The place of each byte of a bundle. Pure.

Names and sizes alone determine a bundle's headers and offsets. So an export can fill the file in any order, and a
reader knows what must stand between the contents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mirror.bundle.format.member import INDEX, STATEMENT, Member
from mirror.bundle.format.member_header import BLOCK_BYTES, END, header_size_bytes, member_header, padding
from mirror.bundle.format.statement import Statement
from mirror.oci import Digest


@dataclass(frozen=True, slots=True)
class PlacedMember:
    """A member with its place.

    Attributes:
        member: the member.
        start_bytes: offset of its header.
    """

    member: Member
    start_bytes: int

    @property
    def header(self) -> bytes:
        """Bytes of the header. Computed on demand: 200 000 of them would fill 100 MB."""
        return member_header(self.member.path, self.member.size_bytes)

    @property
    def content_bytes(self) -> int:
        """Offset of the content."""
        return self.start_bytes + header_size_bytes(self.member.path, self.member.size_bytes)

    @property
    def padding(self) -> bytes:
        """The zeros after the content."""
        return padding(self.member.size_bytes)

    @property
    def end_bytes(self) -> int:
        """Offset of the end, after the padding."""
        return self.content_bytes + self.member.size_bytes + -self.member.size_bytes % BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class BundleLayout:
    """All members of a bundle with their places, in order.

    Attributes:
        members: the members. The third is the statement's envelope.
    """

    members: tuple[PlacedMember, ...]
    _by_digest: Mapping[Digest, PlacedMember] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        blobs = {placed.member.digest: placed for placed in self.members if placed.member.is_blob}
        object.__setattr__(self, "_by_digest", blobs)

    @classmethod
    def of(cls, statement: Statement, envelope: bytes) -> BundleLayout:
        """Return the layout of a bundle.

        Args:
            statement: the statement, which lists the other members.
            envelope: bytes of the envelope of the statement, with padding.
        """
        return cls(tuple(_placed(_with_statement(statement.members, Member.of_content(STATEMENT, envelope)))))

    @property
    def size_bytes(self) -> int:
        """Size of the bundle."""
        return self.members[-1].end_bytes + len(END)

    def blob(self, digest: Digest) -> PlacedMember | None:
        """Return the place of a blob or manifest; None if the bundle does not hold it."""
        return self._by_digest.get(digest)

    def documents(self) -> tuple[PlacedMember, ...]:
        """Return the members before the first blob: index, statement, key sets and report."""
        return tuple(placed for placed in self.members if not placed.member.is_blob)

    def blobs(self) -> tuple[PlacedMember, ...]:
        """Return the blobs and manifests, in order."""
        return tuple(placed for placed in self.members if placed.member.is_blob)


def _with_statement(members: Iterable[Member], statement: Member) -> Iterator[Member]:
    for member in members:
        yield member
        if member.path == INDEX:
            yield statement


def _placed(members: Iterable[Member]) -> Iterator[PlacedMember]:
    start = 0
    for member in members:
        placed = PlacedMember(member, start)
        yield placed
        start = placed.end_bytes
