"""A layer made of a tree: one tar in gzip, the same bytes for the same tree. All calls block."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable
from typing import Final

from zlib_ng import zlib_ng

from mirror.oci.digest import Digest, new_hasher
from mirror.plugin.assembly import PackedLayer
from mirror.plugin.layer_facts import LayerFacts
from mirror.plugin.tree import END_OF_TAR, Entry, tar_header, tar_padding

_LEVEL: Final = 6
_GZIP: Final = 16 + zlib.MAX_WBITS
# What is compressed is cut at the same places of the tar, whatever pieces it came in, and so gives the same bytes.
_PIECE_BYTES: Final = 1024 * 1024


class LayerWriting:
    """Writes a layer, once.

    Args:
        entries: the tree.
        latest_seconds: no time in it is later.
        advance: told how many bytes of the tar are done.
    """

    def __init__(self, entries: Iterable[Entry], latest_seconds: int, advance: Callable[[int], None]) -> None:
        self._entries = entries
        self._latest_seconds = latest_seconds
        self._advance = advance
        self._compressor = zlib_ng.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._tar = new_hasher()
        self._blob = new_hasher()
        self._tar_bytes = 0
        self._blob_bytes = 0
        self._count = 0

    @property
    def layer(self) -> PackedLayer:
        """The layer, once all of it was written."""
        return PackedLayer(Digest("sha256", self._blob.hexdigest()), self._blob_bytes, self._diff_id)

    @property
    def facts(self) -> LayerFacts:
        """What there is to know of it then."""
        return LayerFacts(self._blob_bytes, True, self._diff_id, self._tar_bytes, self._count)  # noqa: FBT003 - it is gzip

    @property
    def _diff_id(self) -> Digest:
        return Digest("sha256", self._tar.hexdigest())

    def chunks(self) -> Generator[bytes, None, None]:
        """The layer's bytes, in pieces of 1 MiB or more but for the last one. Raises what reading contents raises."""
        waiting, ready = bytearray(), bytearray()
        for piece in self._tar_pieces():
            waiting += piece
            while len(waiting) >= _PIECE_BYTES:
                ready += self._compressed(bytes(waiting[:_PIECE_BYTES]))
                del waiting[:_PIECE_BYTES]
            if len(ready) >= _PIECE_BYTES:
                yield self._counted(ready)
                ready = bytearray()
        ready += self._compressed(bytes(waiting))
        ready += self._compressor.flush()
        yield self._counted(ready)

    def _tar_pieces(self) -> Iterable[bytes]:
        for entry in self._entries:
            self._count += 1
            yield tar_header(entry, self._latest_seconds)
            if entry.same_as is None and entry.node.content is not None:
                yield from entry.node.content.chunks()
                yield tar_padding(entry.node)
        yield END_OF_TAR

    def _compressed(self, piece: bytes) -> bytes:
        self._tar.update(piece)
        self._tar_bytes += len(piece)
        self._advance(len(piece))
        return self._compressor.compress(piece)

    def _counted(self, piece: bytearray) -> bytes:
        self._blob.update(piece)
        self._blob_bytes += len(piece)
        return bytes(piece)
