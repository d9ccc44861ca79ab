"""Layers of a plugin or an image, laid over each other into a tree."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from mirror.authoring.files.safe_files import FileSpan, temporary_file, write_temporary
from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.rootfs.entry import EntryCallback, LayerEntry
from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_limits import COMMAND_LIMITS
from mirror.plugin.rootfs.tree import Tree, TreeEntry
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class LayerSource:
    """A layer that can be read: a tar, as it is or in gzip.

    Attributes:
        span: where its bytes are.
        digest: what they must hash to, where that is known.
        diff_id: what the tar must hash to, where that is known.
    """

    span: FileSpan
    digest: Digest | None = None
    diff_id: Digest | None = None


class Flattening:
    """Lays layers over each other. Each is decompressed into a file without a name, where its contents are read later.

    Args:
        layers: the lowest first.
        stack: closes those files; contents can be read until then.
    """

    def __init__(self, layers: Sequence[LayerSource], stack: ExitStack) -> None:
        self._layers = layers
        self._stack = stack
        self._tree = Tree()

    def steps(self) -> Generator[int, None, None]:
        """Lay them over each other, in steps; gives the bytes that each has read.

        Raises:
            ManifestInvalid: a layer that engines could not unpack, is not what it was said to be, goes beyond a limit,
                or leads out of the tree. ConfigurationFault: it cannot be read. StorageFault: no space for the files.
        """
        for number, layer in enumerate(self._layers, 1):
            spool = temporary_file(self._stack)
            try:
                found = yield from _spooled(layer, spool, f"layer {number}")
                self._tree.apply(found)
            except ManifestInvalid as error:
                raise ManifestInvalid(f"layer {number} {error}") from error

    def entries(self) -> list[TreeEntry]:
        """Give what they amount to, sorted by the components of the paths."""
        return list(self._tree.entries())


async def flattened(layers: Sequence[LayerSource], stack: ExitStack, progress: Progress) -> list[TreeEntry]:
    """Lay layers over each other, in threads. Arguments and errors as for :class:`Flattening`."""
    progress.expect(sum(layer.span.size_bytes for layer in layers))
    flattening = Flattening(layers, stack)
    async for size_bytes in stepped(flattening.steps()):
        progress.advance(size_bytes)
    return await in_thread(flattening.entries)


def _spooled(
    layer: LayerSource, spool: IO[bytes], name: str
) -> Generator[int, None, list[tuple[LayerEntry, FileSpan]]]:
    """Decompress a layer into a file, and list what is in it; nothing of one that is not what it should be is used."""
    hasher = new_hasher(layer.digest.algorithm if layer.digest else "sha256")
    found: list[tuple[LayerEntry, FileSpan]] = []

    def take(entry: LayerEntry) -> None:
        entry.require_possible()
        found.append((entry, FileSpan(spool.fileno(), entry.offset_bytes, entry.size_bytes, name)))

    reader = LayerReader(
        layer.span.size_bytes, COMMAND_LIMITS, EntryCallback(take), lambda piece: write_temporary(spool, piece)
    )
    for chunk in layer.span.chunks():
        hasher.update(chunk)
        reader.feed(chunk)
        if reader.settled:
            break
        yield len(chunk)
    facts = reader.finish()
    if facts.problem is not None:
        raise ManifestInvalid(facts.problem.value)
    if layer.digest is not None and hasher.hexdigest() != layer.digest.hex:
        raise ManifestInvalid(f"is not what its digest {layer.digest} says")
    if layer.diff_id is not None and facts.diff_id != layer.diff_id:
        raise ManifestInvalid(f"is not the one that the configuration names ({layer.diff_id})")
    return found
