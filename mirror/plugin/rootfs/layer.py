"""Reading a plugin layer as its bytes arrive: check for one complete gzip tar, and compute the digest of the tar.

Nothing is unpacked, and memory use does not depend on the layer. The tar passes in pieces of at most 1 MiB. Reading
ends at the first problem or limit. The result does not depend on how the bytes were cut.

Work is counted in bytes of the tar, not of the layer, because 64 KiB of gzip may hold 64 MiB.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.plugin.rootfs.entry import EntryWatcher
from mirror.plugin.rootfs.layer_facts import LayerFacts, LayerProblem
from mirror.plugin.rootfs.layer_limits import LayerLimits
from mirror.plugin.rootfs.tar_reader import TarReader

_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WITH_HEADER: Final = 16 + zlib.MAX_WBITS
# Pieces always begin at multiples of this size, however the layer arrives. A limit is therefore met at the same byte
# each time, and the same layer always gets the same result.
_PIECE_BYTES: Final = 64 * 1024
_OUTPUT_BYTES: Final = 1024 * 1024
#: Cost of starting a gzip member and of reading a tar header, as the number of bytes hashed in the same time. Without
#: them a layer of empty members or of headers alone would get far more processor time than its bytes (ADR 24).
_MEMBER_BYTES, _HEADER_BYTES = 16 * 1024, 8 * 1024


class LayerReader:
    """Reader of a layer that is fed in pieces of any size and returns :class:`LayerFacts` at the end.

    Args:
        size_bytes: size of the layer.
        limits: limits beyond which reading ends.
        watcher: receives the entries of the tar, as far as they can be read. Its exceptions are raised by :meth:`feed`.
        sink: receives the uncompressed tar in pieces, up to the first problem.
    """

    def __init__(
        self,
        size_bytes: int,
        limits: LayerLimits,
        watcher: EntryWatcher | None = None,
        sink: Callable[[bytes], object] | None = None,
    ) -> None:
        self._size_bytes = size_bytes
        self._limits = limits
        self._waiting = bytearray()
        self._sink = sink
        self._taken_bytes = 0
        self._tar_bytes = 0
        self._hasher = new_hasher()
        self._watcher = watcher
        self._tar = TarReader(limits.entries, watcher)
        self._compressed: bool | None = None
        self._stream = zlib.decompressobj(wbits=_GZIP_WITH_HEADER)
        self._members = 1
        self._silent = True
        self._problem: LayerProblem | None = None

    @property
    def settled(self) -> bool:
        """True if a problem was found. More content does not change the result."""
        return self._problem is not None

    def feed(self, content: bytes) -> None:
        """Read more content. Decompresses and hashes, so call this in a thread."""
        for _ in self.steps(content):
            pass

    def steps(self, content: bytes, *, last: bool = False) -> Iterator[int]:
        """Read more content in steps of at most 1 MiB of the tar.

        Args:
            content: next bytes of the layer.
            last: True if no more content follows.

        Yields:
            The cost of each step, as the number of bytes whose decompression and hashing takes as long.
        """
        if self.settled:
            return
        self._waiting += content
        whole = len(self._waiting) - (0 if last else len(self._waiting) % _PIECE_BYTES)
        for start in range(0, whole, _PIECE_BYTES):
            yield from self._take(bytes(self._waiting[start : min(whole, start + _PIECE_BYTES)]))
        del self._waiting[:whole]

    def finish(self) -> LayerFacts:
        """Read the remaining content and return the facts of the layer. Call this once."""
        if self._waiting or self._compressed is None:
            for _ in self._take(bytes(self._waiting)):
                pass
        if self._compressed and not self._stream.eof:
            self._found(LayerProblem.GZIP_TRAILING if self._is_no_member else LayerProblem.GZIP_TRUNCATED)
        self._tar.finish()
        self._found(self._tar_problem)
        return LayerFacts(
            size_bytes=self._size_bytes,
            compressed=bool(self._compressed),
            diff_id=None if self.settled else Digest("sha256", self._hasher.hexdigest()),
            tar_bytes=self._tar_bytes,
            entries=self._tar.entries,
            problem=self._problem,
        )

    def _take(self, piece: bytes) -> Iterator[int]:
        """Read one piece. The first piece decides between gzip and a plain tar."""
        if self._compressed is None:
            if self._watcher is not None:
                self._watcher.begin_layer()
            # Engines detect the compression by the first bytes and ignore the media type of the layer.
            self._compressed = piece.startswith(_GZIP_MAGIC)
            if piece.startswith(_ZSTD_MAGIC):
                self._found(LayerProblem.ZSTD)
        self._taken_bytes += len(piece)
        if self._compressed:
            yield from self._decompress(piece)
        elif not self.settled:
            yield self._pass_on(piece)

    def _decompress(self, piece: bytes) -> Iterator[int]:
        """Decompress a piece in steps of bounded output, across the members of the gzip stream."""
        while not self.settled:
            begun = self._stream.eof
            if begun:
                if not piece:
                    return
                self._begin_member()
            try:
                output = self._stream.decompress(piece, _OUTPUT_BYTES)
            except zlib.error:
                self._found(LayerProblem.GZIP_TRAILING if self._is_no_member else LayerProblem.GZIP_BROKEN)
                return
            yield self._pass_on(output) + _MEMBER_BYTES * begun
            piece = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            # Full output means that zlib may hold more, even if all input was consumed.
            if not piece and len(output) < _OUTPUT_BYTES:
                return

    def _begin_member(self) -> None:
        """Start the next member of the gzip stream. Engines read all members, as gunzip does."""
        # Empty members cost time and add nothing to the tar, so they count against a limit of their own.
        self._members += 1
        if self._members > self._limits.entries:
            self._found(LayerProblem.TOO_MANY_ENTRIES)
        self._stream = zlib.decompressobj(wbits=_GZIP_WITH_HEADER)
        self._silent = True

    def _pass_on(self, output: bytes) -> int:
        """Hash a piece of the tar, walk its headers, and return the cost of the piece."""
        if not output:
            return 0
        headers = self._tar.headers
        self._silent = False
        self._tar_bytes += len(output)
        self._hasher.update(output)
        self._tar.feed(output)
        self._found(self._tar_problem)
        self._found(self._limits.broken_by(self._taken_bytes, self._tar_bytes))
        if self._sink is not None and not self.settled:
            self._sink(output)
        return len(output) + _HEADER_BYTES * (self._tar.headers - headers)

    @property
    def _is_no_member(self) -> bool:
        """True if a complete gzip stream is followed by bytes that have produced no output yet."""
        return self._members > 1 and self._silent

    @property
    def _tar_problem(self) -> LayerProblem | None:
        """The problem of the tar. A layer that is neither gzip nor a tar gets a problem of its own."""
        if self._tar.problem is LayerProblem.NOT_TAR and not self._compressed:
            return LayerProblem.NOT_GZIP
        return self._tar.problem

    def _found(self, problem: LayerProblem | None) -> None:
        """Keep a problem unless an earlier one is known."""
        self._problem = self._problem or problem
