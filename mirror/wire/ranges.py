"""Byte ranges in their four spellings (RFC 9110 section 14; distribution-spec, "Pushing a blob in chunks").

======================================  =====================================  ==========================
header                                  example                                value
======================================  =====================================  ==========================
``Range`` of a GET                      ``bytes=500-1499``, ``bytes=-500``     :class:`RangeRequest`
``Content-Range`` of a 206              ``bytes 500-1499/10000``               :class:`Span` and the size
``Content-Range`` of a PATCH            ``500-1499`` (no unit, no total)       :class:`Span`
``Range`` of an upload's answers        ``0-1499`` (no unit)                   number of bytes held
======================================  =====================================  ==========================
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mirror.oci.errors import RangeInvalid

# Possessive: of a header full of spaces, every way to share them out would be tried otherwise.
_REQUEST = re.compile(r"bytes\s*+=\s*+([0-9]{0,18})\s*+-\s*+([0-9]{0,18})", re.IGNORECASE)
_RESPONSE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_CHUNK = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``start`` to ``stop`` of some content, ``stop`` left out, as Python counts."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        return self.stop - self.start

    def content_range(self, total_bytes: int) -> str:
        """``bytes FIRST-LAST/TOTAL``, for a 206."""
        return f"bytes {self.start}-{self.stop - 1}/{total_bytes}"

    def chunk_range(self) -> str:
        """``FIRST-LAST``, for a PATCH."""
        return f"{self.start}-{self.stop - 1}"


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """One range of a ``Range`` header, before the size of the content is known.

    Attributes:
        first: offset of the first byte; None for a suffix.
        last: offset of the last byte; the suffix's length where ``first`` is None; None for "to the end".
    """

    first: int | None
    last: int | None

    @classmethod
    def parse(cls, header: str | None) -> RangeRequest | None:
        """Read a ``Range`` header; None where there is none, or one to be ignored: another unit, several ranges.

        Raises:
            RangeInvalid: the range ends before it begins.
        """
        match = _REQUEST.fullmatch(header.strip()) if header else None
        if match is None or not (match[1] or match[2]):
            return None
        first = int(match[1]) if match[1] else None
        last = int(match[2]) if match[2] else None
        if first is not None and last is not None and last < first:
            raise RangeInvalid(f"range {first}-{last} ends before it begins", range=f"{first}-{last}")
        return cls(first, last)

    def resolve(self, total_bytes: int) -> Span:
        """The bytes meant, of content that has ``total_bytes``.

        Raises:
            RangeInvalid: none of them exist.
        """
        if self.first is None:
            wanted = min(self.last or 0, total_bytes)
            span = Span(total_bytes - wanted, total_bytes)
        else:
            stop = total_bytes if self.last is None else min(self.last + 1, total_bytes)
            span = Span(self.first, stop)
        if span.start >= span.stop:
            raise RangeInvalid(f"range {self} lies outside the {total_bytes} bytes there are", size_bytes=total_bytes)
        return span

    def __str__(self) -> str:
        return f"bytes={'' if self.first is None else self.first}-{'' if self.last is None else self.last}"


def parse_content_range(header: str | None) -> tuple[Span, int | None] | None:
    """Read ``Content-Range`` of a 206: the span, and the whole size where said; None where it makes no sense."""
    match = _RESPONSE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    span = Span(int(match[1]), int(match[2]) + 1)
    total = None if match[3] == "*" else int(match[3])
    if span.size_bytes <= 0 or (total is not None and span.stop > total):
        return None
    return span, total


def parse_chunk_range(header: str) -> Span:
    """Read ``Content-Range`` of an upload's PATCH or PUT.

    Raises:
        RangeInvalid: it is not ``FIRST-LAST``.
    """
    match = _CHUNK.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise RangeInvalid(f"Content-Range {header[:64]!r} is not FIRST-LAST", content_range=header[:64])
    return Span(int(match[1]), int(match[2]) + 1)


def upload_range(held_bytes: int) -> str:
    """``0-LAST`` for an upload session that holds ``held_bytes``; engines up to 19.03 compute layer sizes from it."""
    return f"0-{max(held_bytes - 1, 0)}"


def parse_upload_range(header: str | None) -> int:
    """How many bytes an upload session holds. ``0-0`` is read as none: one byte is told apart by nobody.

    Raises:
        RangeInvalid: it is not ``0-LAST``.
    """
    match = _CHUNK.fullmatch(header.strip()) if header else None
    if match is None or int(match[1]) != 0:
        raise RangeInvalid(f"Range {(header or '')[:64]!r} is not 0-LAST")
    return int(match[2]) + 1 if int(match[2]) else 0
