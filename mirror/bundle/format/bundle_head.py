"""The head of a bundle: index, statement, key sets and report. They are judged before any blob is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bundle_index import MOST_INDEX_BYTES, NamedManifest, read_index
from mirror.bundle.format.bundle_layout import BundleLayout
from mirror.bundle.format.byte_source import ByteSource, BytesSource, read_range
from mirror.bundle.format.envelope import MOST_ENVELOPE_BYTES, Envelope
from mirror.bundle.format.member import (
    INDEX,
    MOST_KEY_SET_BYTES,
    MOST_KEY_SETS,
    OCI_LAYOUT,
    OCI_LAYOUT_CONTENT,
    REPORT,
    STATEMENT,
)
from mirror.bundle.format.member_header import BLOCK_BYTES, member_header, padding
from mirror.bundle.format.statement import PAYLOAD_TYPE, Statement
from mirror.oci import Digest

_MOST_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
_SIZE: Final = slice(124, 135)


@dataclass(frozen=True, slots=True)
class BundleHead:
    """The verified documents of a bundle. Verified means: they are as the statement says. Nothing is said about trust.

    Attributes:
        envelope: envelope of the statement.
        statement: the statement.
        layout: the place of each member.
        names: the names in the bundle.
        key_sets: key sets in the order of their versions, each an envelope as JSON.
        report: the report of the sender. Not trusted.
    """

    envelope: Envelope
    statement: Statement
    layout: BundleLayout
    names: tuple[NamedManifest, ...]
    key_sets: tuple[bytes, ...]
    report: bytes


async def read_head(source: ByteSource) -> BundleHead:
    """Read the documents of a bundle.

    Every byte up to the first blob is compared with the statement, headers and padding included. Memory is bounded.

    Raises:
        BundleInvalid: the file is not a bundle, or differs from its statement.
        BundleIncomplete: the part with the documents is missing.
    """
    head = await _read_documents(source)
    if head.layout.size_bytes != source.size_bytes:
        raise BundleInvalid(
            f"{source.name} has {source.size_bytes} bytes, and its statement gives it {head.layout.size_bytes}",
            size_bytes=source.size_bytes,
            expected_bytes=head.layout.size_bytes,
        )
    return head


async def read_recorded_head(content: bytes) -> BundleHead:
    """Return the head in the bytes of a bundle before its first blob. Raises BundleInvalid."""
    return await _read_documents(BytesSource("the recorded head of a bundle", content))


async def _read_documents(source: ByteSource) -> BundleHead:
    start = await _document(source, 0, OCI_LAYOUT, BLOCK_BYTES)
    if start[0] != OCI_LAYOUT_CONTENT:
        raise BundleInvalid(f"{source.name} is not a bundle: it does not begin with {OCI_LAYOUT}")
    _, index_at = start
    index, envelope_at = await _document(source, index_at, INDEX, MOST_INDEX_BYTES)
    content, _ = await _document(source, envelope_at, STATEMENT, MOST_ENVELOPE_BYTES)
    envelope = Envelope.parse(content, f"the statement of {source.name}")
    if content != envelope.to_bytes(len(content)):
        raise BundleInvalid(f"{source.name}: the envelope of the statement is not written as the format says")
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BundleInvalid(f"the statement of {source.name} has another type than {PAYLOAD_TYPE}")
    statement = Statement.parse(envelope.payload)
    layout = BundleLayout.of(statement, content)
    if sum(placed.member.is_key_set for placed in layout.documents()) > MOST_KEY_SETS:
        raise BundleInvalid(f"{source.name} has more than {MOST_KEY_SETS} key sets")
    documents: dict[str, bytes] = {}
    for placed in layout.documents():
        member = placed.member
        most_bytes = MOST_KEY_SET_BYTES if member.is_key_set else _MOST_DOCUMENT_BYTES
        if member.size_bytes > most_bytes:
            raise BundleInvalid(f"{source.name}: {member.path} is larger than {most_bytes} bytes")
        found = await read_range(source, placed.start_bytes, placed.end_bytes - placed.start_bytes)
        body = found[len(placed.header) : len(placed.header) + member.size_bytes]
        if found != placed.header + body + placed.padding or Digest.of(body) != member.digest:
            raise BundleInvalid(f"{source.name}: {member.path} differs from the statement", path=member.path)
        documents[member.path] = body
    key_sets = tuple(documents[placed.member.path] for placed in layout.documents() if placed.member.is_key_set)
    return BundleHead(envelope, statement, layout, read_index(index), key_sets, documents.get(REPORT, b""))


async def is_bundle(source: ByteSource) -> bool:
    """Return True if a file begins like a bundle. Other image layouts do not have a statement at its place.

    Raises:
        BundleIncomplete: the first part is missing.
        StorageFault: the file cannot be read.
    """
    try:
        _, index_at = await _document(source, 0, OCI_LAYOUT, BLOCK_BYTES)
        _, envelope_at = await _document(source, index_at, INDEX, MOST_INDEX_BYTES)
        await _size_of(source, envelope_at, STATEMENT, MOST_ENVELOPE_BYTES)
    except BundleInvalid:
        return False
    return True


async def _document(source: ByteSource, start_bytes: int, path: str, most_bytes: int) -> tuple[bytes, int]:
    """Return a document whose size is known from its header alone, and the offset after the document."""
    size_bytes = await _size_of(source, start_bytes, path, most_bytes)
    end = start_bytes + BLOCK_BYTES + size_bytes + len(padding(size_bytes))
    if end > source.size_bytes:
        raise BundleInvalid(f"{source.name} is not a bundle: it ends within {path}")
    return await read_range(source, start_bytes + BLOCK_BYTES, size_bytes), end


async def _size_of(source: ByteSource, start_bytes: int, path: str, most_bytes: int) -> int:
    """Return the size in a header, which must be the header of a document."""
    if start_bytes + BLOCK_BYTES > source.size_bytes:
        raise BundleInvalid(f"{source.name} is not a bundle: it ends before {path}")
    header = await read_range(source, start_bytes, BLOCK_BYTES)
    digits = header[_SIZE]
    size_bytes = int(digits, 8) if digits.isdigit() and not set(digits) - set(b"01234567") else -1
    if not 0 <= size_bytes <= most_bytes or header != member_header(path, size_bytes):
        raise BundleInvalid(f"{source.name} is not a bundle: {path} is not where it should be")
    return size_bytes
