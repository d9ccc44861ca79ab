"""The head of a bundle: index, statement, key sets and report. They are judged before any blob is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bundle_index import MOST_INDEX_BYTES, NamedManifest, read_index
from mirror.bundle.format.bundle_layout import BundleLayout, PlacedMember
from mirror.bundle.format.byte_source import ByteSource, BytesSource, read_range
from mirror.bundle.format.envelope import MOST_ENVELOPE_BYTES, Envelope
from mirror.bundle.format.member import INDEX, OCI_LAYOUT, REPORT, STATEMENT
from mirror.bundle.format.member_header import BLOCK_BYTES, member_header, padding
from mirror.bundle.format.statement import PAYLOAD_TYPE, Statement
from mirror.oci import Digest

#: Index, statement, report, and room for key sets.
_MOST_DOCUMENTS_BYTES: Final = 128 * 1024 * 1024
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
    return await _read_documents(source, source.size_bytes)


async def read_recorded_head(content: bytes) -> BundleHead:
    """Return the head in the bytes of a bundle before its first blob. Raises BundleInvalid."""
    return await _read_documents(BytesSource("the recorded head of a bundle", content), None)


async def _read_documents(source: ByteSource, size_bytes: int | None) -> BundleHead:
    envelope_at = await _envelope_at(source)
    start, end = await _document(source, envelope_at, STATEMENT, MOST_ENVELOPE_BYTES)
    content = await read_range(source, start, end - start)
    envelope = Envelope.parse(content, f"the statement of {source.name}")
    if content != envelope.to_bytes(len(content)):
        raise BundleInvalid(f"{source.name}: the envelope of the statement is not written as the format says")
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BundleInvalid(f"the statement of {source.name} has another type than {PAYLOAD_TYPE}")
    statement = Statement.parse(envelope.payload)
    layout = BundleLayout.of(statement, content)
    # Before anything else is read: the statement may promise documents and blobs of any size.
    if size_bytes is not None and layout.size_bytes != size_bytes:
        raise BundleInvalid(
            f"{source.name} has {size_bytes} bytes, and its statement gives it {layout.size_bytes}",
            size_bytes=size_bytes,
            expected_bytes=layout.size_bytes,
        )
    if sum(placed.member.size_bytes for placed in layout.documents()) > _MOST_DOCUMENTS_BYTES:
        raise BundleInvalid(f"{source.name}: the documents are larger than {_MOST_DOCUMENTS_BYTES} bytes")
    documents = {placed.member.path: await _verified(source, placed) for placed in layout.documents()}
    key_sets = tuple(documents[placed.member.path] for placed in layout.documents() if placed.member.is_key_set)
    names = read_index(documents[INDEX])
    return BundleHead(envelope, statement, layout, names, key_sets, documents.get(REPORT, b""))


async def is_bundle(source: ByteSource) -> bool:
    """Return True if a file begins like a bundle. Other image layouts do not have a statement at its place.

    Raises:
        BundleIncomplete: the first part is missing.
        StorageFault: the file cannot be read.
    """
    try:
        await _document(source, await _envelope_at(source), STATEMENT, MOST_ENVELOPE_BYTES)
    except BundleInvalid:
        return False
    return True


async def _envelope_at(source: ByteSource) -> int:
    """Return the offset of the statement's header. Only headers are read, since the statement judges the contents."""
    _, layout_end = await _document(source, 0, OCI_LAYOUT, BLOCK_BYTES)
    _, index_end = await _document(source, _padded(layout_end), INDEX, MOST_INDEX_BYTES)
    return _padded(index_end)


async def _document(source: ByteSource, start_bytes: int, path: str, most_bytes: int) -> tuple[int, int]:
    """Return the offsets at which the content of a document begins and ends. Only the header says its size."""
    content_at = start_bytes + BLOCK_BYTES
    if content_at > source.size_bytes:
        raise BundleInvalid(f"{source.name} is not a bundle, or the beginning of one: it ends before {path}")
    header = await read_range(source, start_bytes, BLOCK_BYTES)
    digits = header[_SIZE]
    size_bytes = int(digits, 8) if not set(digits) - set(b"01234567") else -1
    if not 0 <= size_bytes <= most_bytes or header != member_header(path, size_bytes):
        raise BundleInvalid(f"{source.name} is not a bundle: {path} is not where it should be")
    if _padded(content_at + size_bytes) > source.size_bytes:
        raise BundleInvalid(f"{source.name} is not a bundle: it ends within {path}")
    return content_at, content_at + size_bytes


async def _verified(source: ByteSource, placed: PlacedMember) -> bytes:
    """Return the content of a document. Its header, padding and digest must be as the statement says."""
    start, size, member = placed.start_bytes, placed.end_bytes - placed.start_bytes, placed.member
    found = await read_range(source, start, size)
    content = found[len(placed.header) : len(placed.header) + member.size_bytes]
    if found != placed.header + content + placed.padding or Digest.of(content) != member.digest:
        where = await source.damage(start, size)
        raise BundleInvalid(f"{source.name}: {member.path} differs from the statement: {where}", path=member.path)
    return content


def _padded(end_bytes: int) -> int:
    return end_bytes + len(padding(end_bytes))
