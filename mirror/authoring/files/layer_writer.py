"""Write a tree as a layer, one tar in gzip. The same tree gives the same bytes. All calls block."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final

from mirror.authoring.files.block_gzip import BLOCK_BYTES, BlockGzip
from mirror.authoring.files.safe_files import PIECE_BYTES
from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.plugin.build.assembly import PackedLayer
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import ALLOWANCE_BYTES, ORDINARY_RATIO
from mirror.plugin.rootfs.tar_header import BLOCK_BYTES as HEADER_BYTES
from mirror.plugin.rootfs.tar_header import END_OF_TAR, tar_header, tar_padding
from mirror.plugin.rootfs.tree import TreeEntry

#: Bytes of extended headers that every reader accepts, also if all of them belong to one entry.
_MOST_EXTENDED_BYTES: Final = 1024 * 1024


class LayerWriting:
    """A layer that is written once.

    Args:
        entries: the tree.
        latest_seconds: latest time of an entry, in seconds since 1970. Later times are set to this one.
        advance: receives the number of bytes of the tar that are done.
    """

    def __init__(self, entries: Iterable[TreeEntry], latest_seconds: int, advance: Callable[[int], None]) -> None:
        self._entries = entries
        self._latest_seconds = latest_seconds
        self._advance = advance
        self._tar = new_hasher()
        self._blob = new_hasher()
        self._tar_bytes = 0
        self._blob_bytes = 0
        self._count = 0
        self._extended_bytes = 0
        self._dense = False

    @property
    def layer(self) -> PackedLayer:
        """Digest, size and diff_id of the layer, after the last chunk."""
        return PackedLayer(Digest("sha256", self._blob.hexdigest()), self._blob_bytes, self._diff_id)

    @property
    def facts(self) -> LayerFacts:
        """Facts about the layer, after the last chunk."""
        return LayerFacts(self._blob_bytes, True, self._diff_id, self._tar_bytes, self._count)  # noqa: FBT003 - it is gzip

    @property
    def is_ordinary(self) -> bool:
        """True if any reader finds :attr:`facts` in the layer, unless a limit of its own is very low.

        The extended headers are few, and no part of the layer unpacks to more than :data:`ORDINARY_RATIO` times its
        size.
        """
        return self._extended_bytes <= _MOST_EXTENDED_BYTES and not self._dense

    @property
    def _diff_id(self) -> Digest:
        return Digest("sha256", self._tar.hexdigest())

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the bytes of the layer, in pieces of at least 1 MiB except for the last one.

        Raises:
            MirrorError: the content of a file cannot be read.
        """
        ready = bytearray()
        with BlockGzip() as gzip:
            for block in self._blocks():
                self._tar.update(block)
                self._tar_bytes += len(block)
                self._advance(len(block))
                # Blocks in the threads are not counted as written yet, so this errs on the safe side.
                written_bytes = self._blob_bytes + len(ready)
                self._dense |= self._tar_bytes > ALLOWANCE_BYTES + ORDINARY_RATIO * written_bytes
                # Only the last block is shorter.
                ready += gzip.add(block) if len(block) == BLOCK_BYTES else gzip.finish(block)
                if len(ready) >= PIECE_BYTES:
                    yield self._of_blob(ready)
                    ready.clear()
        yield self._of_blob(ready)

    def _blocks(self) -> Iterator[bytes]:
        """Yield the tar in blocks of :data:`BLOCK_BYTES`, except for the last one, which is shorter and may be empty.

        Blocks have one size wherever files begin, because their size decides the compressed bytes.
        """
        waiting = bytearray()
        for entry in self._entries:
            self._count += 1
            header = tar_header(entry, self._latest_seconds)
            self._extended_bytes += len(header) - HEADER_BYTES
            waiting += header
            content = entry.node.content if entry.same_as is None else None
            if content is not None:
                for chunk in content.chunks():
                    waiting += chunk
                    if len(waiting) >= BLOCK_BYTES:
                        yield from _cut(waiting)
                waiting += tar_padding(entry.node)
            if len(waiting) >= BLOCK_BYTES:
                yield from _cut(waiting)
        waiting += END_OF_TAR
        yield from _cut(waiting)
        yield bytes(waiting)

    def _of_blob(self, piece: bytearray) -> bytes:
        self._blob.update(piece)
        self._blob_bytes += len(piece)
        return bytes(piece)


def _cut(waiting: bytearray) -> Iterator[bytes]:
    """Cut whole blocks off the beginning of a buffer."""
    while len(waiting) >= BLOCK_BYTES:
        with memoryview(waiting) as view:
            block = bytes(view[:BLOCK_BYTES])
        del waiting[:BLOCK_BYTES]
        yield block
