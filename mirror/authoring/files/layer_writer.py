"""Write a tree as a layer, one tar in gzip. The same tree gives the same bytes. All calls block."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from mirror.authoring.files.block_gzip import BLOCK_BYTES, BlockGzip
from mirror.authoring.files.safe_files import PIECE_BYTES
from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.plugin.build.assembly import PackedLayer
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.tar_header import END_OF_TAR, tar_header, tar_padding
from mirror.plugin.rootfs.tree import TreeEntry


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

    @property
    def layer(self) -> PackedLayer:
        """Digest, size and diff_id of the layer, after the last chunk."""
        return PackedLayer(Digest("sha256", self._blob.hexdigest()), self._blob_bytes, self._diff_id)

    @property
    def facts(self) -> LayerFacts:
        """Facts about the layer, after the last chunk."""
        return LayerFacts(self._blob_bytes, True, self._diff_id, self._tar_bytes, self._count)  # noqa: FBT003 - it is gzip

    @property
    def _diff_id(self) -> Digest:
        return Digest("sha256", self._tar.hexdigest())

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the bytes of the layer, in pieces of at least 1 MiB except for the last one.

        Raises:
            MirrorError: the content of a file cannot be read.
        """
        waiting, ready = bytearray(), bytearray()
        with BlockGzip() as gzip:
            for piece in self._tar_pieces():
                waiting += piece
                # Blocks have one size wherever files begin, because their size decides the compressed bytes.
                while len(waiting) >= BLOCK_BYTES:
                    ready += gzip.add(self._of_tar(waiting[:BLOCK_BYTES]))
                    del waiting[:BLOCK_BYTES]
                if len(ready) >= PIECE_BYTES:
                    yield self._of_blob(ready)
                    ready.clear()
            ready += gzip.finish(self._of_tar(waiting))
        yield self._of_blob(ready)

    def _tar_pieces(self) -> Iterable[bytes]:
        for entry in self._entries:
            self._count += 1
            yield tar_header(entry, self._latest_seconds)
            if entry.same_as is None and entry.node.content is not None:
                yield from entry.node.content.chunks()
                yield tar_padding(entry.node)
        yield END_OF_TAR

    def _of_tar(self, block: bytearray) -> bytes:
        self._tar.update(block)
        self._tar_bytes += len(block)
        self._advance(len(block))
        return bytes(block)

    def _of_blob(self, piece: bytearray) -> bytes:
        self._blob.update(piece)
        self._blob_bytes += len(piece)
        return bytes(piece)
