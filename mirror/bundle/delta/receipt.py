"""Receipts: exactly what a store holds, for the sender of its next bundle. Pure.

A receipt is one compressed document: a line of JSON, then the raw digests in order. It has every digest and not a
filter that guesses, because one wrong guess makes a bundle that nobody can import.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bounded_json import read_bounded
from mirror.bundle.format.statement import MOST_SERIAL, is_stream
from mirror.oci import Digest, Repository, Tag
from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import ClientFault
from mirror.oci.timestamps import machine_time
from mirror.plugin.build.assembly import canonical_json

_KIND: Final = "docker-plugin-mirror receipt"
_FIX: Final = "fix: name a file that 'plugin-mirror bundle receipt -o F' wrote at the receiver, or a serial"
FORMAT: Final = 1
#: Largest receipt. A million blobs with half a million names fit.
MOST_RECEIPT_BYTES: Final = 64 * 1024 * 1024
_MOST_DOCUMENT_BYTES: Final = 128 * 1024 * 1024
_WIDTHS: Final = {algorithm: len(Digest.of(b"", algorithm).hex) // 2 for algorithm in ALGORITHMS}


@dataclass(frozen=True)
class Receipt:
    """Content of a store.

    Attributes:
        created: time of creation, in UTC, whole seconds.
        digests: digests of all blobs and manifests that the store holds completely.
        names: digest of each name, ``NAME:TAG`` and ``NAME@DIGEST``. What came with a bundle has its name in the bundle
            too, whatever its name in the store. Every digest is among ``digests``.
        streams: serial of the last imported bundle, by stream.
    """

    created: datetime
    digests: frozenset[Digest]
    names: Mapping[str, Digest]
    streams: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def digest(self) -> Digest:
        """Digest of the document before its compression."""
        return Digest.of(self._document())

    def serial_of(self, stream: str) -> int | None:
        """Return the serial of the last imported bundle of a stream; None if none was imported."""
        return self.streams.get(stream)

    def to_bytes(self) -> bytes:
        """Return the receipt as a file. ``zcat`` gives the document."""
        return gzip.compress(self._document(), mtime=0)

    @classmethod
    def parse(cls, content: bytes) -> Receipt:
        """Return the receipt in a file. Memory is bounded.

        Raises:
            BundleInvalid: the file is not a receipt.
        """
        document = _decompressed(content)
        line, newline, digests = document.partition(b"\n")
        if not newline:
            raise BundleInvalid(f"it is not a receipt; {_FIX}")
        try:
            receipt = _parse(read_bounded(line, "the receipt", MOST_RECEIPT_BYTES), digests)
            # One receipt has one document, and so one digest.
            if receipt.digest != Digest.of(document):
                raise BundleInvalid(
                    "the receipt was changed; fix: use the file as 'plugin-mirror bundle receipt' wrote it"
                )
        except (ClientFault, OverflowError) as error:  # names and digests; a time before the year 1
            raise BundleInvalid(f"the receipt is invalid: {error}") from error
        return receipt

    def _document(self) -> bytes:
        ordered = sorted(self.digests, key=str)  # by algorithm, and then by value
        places = {digest: place for place, digest in enumerate(ordered)}
        head = {
            "kind": _KIND,
            "format": FORMAT,
            "created": machine_time(self.created),
            "streams": dict(sorted(self.streams.items())),
            "digests": {algorithm: sum(one.algorithm == algorithm for one in ordered) for algorithm in ALGORITHMS},
            "names": _grouped({name: places[digest] for name, digest in self.names.items()}),
        }
        return canonical_json(head, "receipt") + b"\n" + b"".join(bytes.fromhex(digest.hex) for digest in ordered)


def _grouped(places: Mapping[str, int]) -> dict[str, Any]:
    """Return the names by repository: the tags with their places, and the places of names with a digest."""
    grouped: dict[str, Any] = {}
    for name, place in sorted(places.items()):
        mark = "@" if "@" in name else ":"
        repository, _, tag = name.partition(mark)
        tags, manifests = grouped.setdefault(repository, [{}, []])
        if mark == ":":
            tags[tag] = place
        else:
            manifests.append(place)
    return grouped


def _decompressed(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        if len(content) > MOST_RECEIPT_BYTES:
            raise BundleInvalid(f"the receipt is larger than {MOST_RECEIPT_BYTES} bytes")
        document = unpacker.decompress(content, _MOST_DOCUMENT_BYTES)
    except zlib.error as error:
        raise BundleInvalid(f"it is not a receipt, or damaged; {_FIX}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise BundleInvalid(f"it is not a whole receipt: it is cut off, too large, or followed by other bytes; {_FIX}")
    return document


def _parse(head: Mapping[str, Any], content: bytes) -> Receipt:
    if head.get("kind") != _KIND or head.get("format") != FORMAT:
        raise BundleInvalid(f"the file is not a receipt of format {FORMAT}; fix: use the same version on both sides")
    ordered = list(_digests(head.get("digests"), content))
    try:
        created = datetime.fromisoformat(head["created"])
        streams = dict(head["streams"].items())
        names = dict(_names(head["names"], ordered))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise BundleInvalid("the receipt has a field of another type than expected") from error
    valid = (is_stream(one) and type(serial) is int and 0 < serial <= MOST_SERIAL for one, serial in streams.items())
    if created.tzinfo is None or not all(valid):
        raise BundleInvalid("the receipt has no valid time and streams")
    return Receipt(created, frozenset(ordered), names, streams)


def _digests(counts: Any, content: bytes) -> Iterator[Digest]:
    """Yield the digests in order."""
    if not isinstance(counts, dict):
        raise BundleInvalid("the receipt has no numbers of digests")
    wanted: dict[str, Any] = {algorithm: counts.get(algorithm) for algorithm in ALGORITHMS}
    if not all(isinstance(count, int) and count >= 0 for count in wanted.values()):
        raise BundleInvalid("the receipt has no valid number of digests")
    if sum(_WIDTHS[algorithm] * count for algorithm, count in wanted.items()) != len(content):
        raise BundleInvalid("the receipt has another number of digests than it says")
    at = 0
    for algorithm, count in wanted.items():
        width = _WIDTHS[algorithm]
        for _ in range(count):
            yield Digest(algorithm, content[at : at + width].hex())
            at += width


def _names(grouped: Mapping[str, Any], ordered: list[Digest]) -> Iterator[tuple[str, Digest]]:
    for name, (tags, manifests) in grouped.items():
        repository = Repository.parse(name)
        for tag, place in tags.items():
            yield f"{repository}:{Tag.parse(tag)}", ordered[place]
        for place in manifests:
            yield f"{repository}@{ordered[place]}", ordered[place]
