"""A plugin's layer, read as it arrives: is it one tar in gzip to its very end, and what is the digest of that tar?

Nothing is unpacked and memory stays flat, whatever comes: the tar passes by in pieces of at most a MiB, and reading
ends where the layer is found to be no good or goes beyond a limit. The answer is the same however the bytes were cut.

Work is counted in bytes of the tar, not of the layer: 64 KiB of gzip may stand for 64 MiB.
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
# Pieces begin at the same places of the layer however it arrives; so the same bytes always give the same answer.
_PIECE_BYTES: Final = 64 * 1024
_OUTPUT_BYTES: Final = 1024 * 1024
#: What the beginning of a gzip stream, and a header of a tar, take as long as, in bytes that are only hashed.
_MEMBER_BYTES, _HEADER_BYTES = 16 * 1024, 8 * 1024


class LayerReader:
    """Reads a layer that is fed in pieces of any size, and tells :class:`LayerFacts` at the end.

    Args:
        size_bytes: of the layer.
        limits: beyond which it is not read.
        watcher: told of what is in the tar, as far as it can be read; what it raises is raised by :meth:`feed`.
        sink: given the tar, uncompressed, in pieces, as far as no problem was found in it.
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
        """Tell whether a problem was found: what else may come changes nothing."""
        return self._problem is not None

    def feed(self, content: bytes) -> None:
        """Read on. Takes as long as decompressing and hashing what comes out does: for a thread."""
        for _ in self.steps(content):
            pass

    def steps(self, content: bytes, *, last: bool = False) -> Iterator[int]:
        """Read on, in steps of at most a MiB of the tar.

        Args:
            content: the next bytes of the layer.
            last: whether no more will come.

        Yields:
            What each step took as long as, in bytes that are only decompressed and hashed.
        """
        if self.settled:
            return
        self._waiting += content
        whole = len(self._waiting) - (0 if last else len(self._waiting) % _PIECE_BYTES)
        for start in range(0, whole, _PIECE_BYTES):
            yield from self._take(bytes(self._waiting[start : min(whole, start + _PIECE_BYTES)]))
        del self._waiting[:whole]

    def finish(self) -> LayerFacts:
        """Say that this was all, and learn what it was. To be called once."""
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
        if self._compressed is None:
            if self._watcher is not None:
                self._watcher.begin_layer()
            self._compressed = piece.startswith(_GZIP_MAGIC)
            if piece.startswith(_ZSTD_MAGIC):
                self._found(LayerProblem.ZSTD)
        self._taken_bytes += len(piece)
        if self._compressed:
            yield from self._decompress(piece)
        elif not self.settled:
            yield self._pass_on(piece)

    def _decompress(self, piece: bytes) -> Iterator[int]:
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
            if not piece and len(output) < _OUTPUT_BYTES:
                return

    def _begin_member(self) -> None:
        """Another gzip stream follows; engines read on in it, as gunzip does."""
        self._members += 1
        if self._members > self._limits.entries:
            self._found(LayerProblem.TOO_MANY_ENTRIES)
        self._stream = zlib.decompressobj(wbits=_GZIP_WITH_HEADER)
        self._silent = True

    def _pass_on(self, output: bytes) -> int:
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
        """Tell whether a whole gzip stream is followed by something that has given nothing yet."""
        return self._members > 1 and self._silent

    @property
    def _tar_problem(self) -> LayerProblem | None:
        if self._tar.problem is LayerProblem.NOT_TAR and not self._compressed:
            return LayerProblem.NOT_GZIP
        return self._tar.problem

    def _found(self, problem: LayerProblem | None) -> None:
        """Keep the first problem."""
        self._problem = self._problem or problem
