"""Byte ranges in their four spellings (RFC 9110, section 14; distribution-spec, "Pushing a blob in chunks").

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

# Possessive quantifiers: a header full of spaces would otherwise make the matcher try every way to split them.
# At most 18 digits are read, so every offset fits into 64 bits.
_REQUEST = re.compile(r"bytes\s*+=\s*+([0-9]{0,18})\s*+-\s*+([0-9]{0,18})", re.IGNORECASE)
_RESPONSE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_CHUNK = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes from ``start`` up to, but not including, ``stop``."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        """Number of bytes in the range."""
        return self.stop - self.start

    def content_range(self, total_bytes: int) -> str:
        """Return ``bytes FIRST-LAST/TOTAL``, the ``Content-Range`` of a 206."""
        return f"bytes {self.start}-{self.stop - 1}/{total_bytes}"

    def chunk_range(self) -> str:
        """Return ``FIRST-LAST``, the ``Content-Range`` of a PATCH."""
        return f"{self.start}-{self.stop - 1}"


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """A single range from a ``Range`` header, independent of the size of the content.

    Attributes:
        first: offset of the first byte; None for a suffix.
        last: offset of the last byte, or None for "to the end". If ``first`` is None, the length of the suffix.
    """

    first: int | None
    last: int | None

    @classmethod
    def parse(cls, header: str | None) -> RangeRequest | None:
        """Parse a ``Range`` header.

        Returns:
            The range; None if the header is absent or must be ignored (malformed, another unit, or several ranges).

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
        """Return the requested span of content with ``total_bytes``. An end beyond the content is cut.

        Raises:
            RangeInvalid: no byte of the range exists.
        """
        if self.first is None:
            wanted = min(self.last or 0, total_bytes)
            span = Span(total_bytes - wanted, total_bytes)
        else:
            stop = total_bytes if self.last is None else min(self.last + 1, total_bytes)
            span = Span(self.first, stop)
        if span.start >= span.stop:
            raise RangeInvalid(f"range {self} is outside the content of {total_bytes} bytes", size_bytes=total_bytes)
        return span

    def __str__(self) -> str:
        return f"bytes={'' if self.first is None else self.first}-{'' if self.last is None else self.last}"


def parse_content_range(header: str | None) -> tuple[Span, int | None] | None:
    """Parse ``Content-Range`` of a 206.

    Returns:
        The span, and the total size if given; None if the header is absent or malformed.
    """
    match = _RESPONSE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    span = Span(int(match[1]), int(match[2]) + 1)
    total = None if match[3] == "*" else int(match[3])
    if span.size_bytes <= 0 or (total is not None and span.stop > total):
        return None
    return span, total


def parse_chunk_range(header: str) -> Span:
    """Parse ``Content-Range`` of an upload's PATCH or PUT.

    Raises:
        RangeInvalid: the header is not ``FIRST-LAST``.
    """
    match = _CHUNK.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise RangeInvalid(f"Content-Range {header[:64]!r} is not FIRST-LAST", content_range=header[:64])
    return Span(int(match[1]), int(match[2]) + 1)


def upload_range(held_bytes: int) -> str:
    """Return the ``Range`` header ``0-LAST`` for an upload session holding ``held_bytes``; ``0-0`` if it is empty.

    Engines up to 19.03 compute layer sizes from this header.
    """
    return f"0-{max(held_bytes - 1, 0)}"


def parse_upload_range(header: str | None) -> int:
    """Return the number of bytes an upload session holds. ``0-0`` counts as 0, because it is also sent for one byte.

    Raises:
        RangeInvalid: the header is not ``0-LAST``.
    """
    match = _CHUNK.fullmatch(header.strip()) if header else None
    if match is None or int(match[1]) != 0:
        raise RangeInvalid(f"Range {(header or '')[:64]!r} is not 0-LAST")
    return int(match[2]) + 1 if int(match[2]) else 0
