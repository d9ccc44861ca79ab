"""Apply the layers of a plugin or an image in order, so that they form one tree."""

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
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import COMMAND_LIMITS
from mirror.plugin.rootfs.tree import Tree, TreeEntry
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class LayerSource:
    """A layer that can be read: a tar, uncompressed or in gzip.

    Attributes:
        span: bytes of the layer.
        digest: expected digest of the bytes. None if unknown.
        diff_id: expected digest of the uncompressed tar. None if unknown.
    """

    span: FileSpan
    digest: Digest | None = None
    diff_id: Digest | None = None


class Flattening:
    """Layers that are applied in order.

    Each layer is decompressed into an unnamed file, from which contents are read later.

    Args:
        layers: the layers, the lowest first.
        stack: closes the unnamed files. Contents can be read until then.
    """

    def __init__(self, layers: Sequence[LayerSource], stack: ExitStack) -> None:
        self._layers = layers
        self._stack = stack
        self._tree = Tree()
        self._facts: list[LayerFacts] = []

    def steps(self) -> Generator[int, None, None]:
        """Apply the layers in steps, and yield after each step the number of bytes that it has read.

        Raises:
            ManifestInvalid: engines cannot unpack a layer, or a layer has an unexpected digest or diff_id, exceeds a
                limit, or leads out of the tree.
            ConfigurationFault: a layer cannot be read.
            StorageFault: the unnamed files cannot be written.
        """
        for number, layer in enumerate(self._layers, 1):
            spool = temporary_file(self._stack)
            try:
                found, facts = yield from _spooled(layer, spool, f"layer {number}")
                self._limit(facts)
                self._tree.apply(found)
            except ManifestInvalid as error:
                raise ManifestInvalid(f"layer {number} {error}") from error

    def _limit(self, facts: LayerFacts) -> None:
        """Refuse a layer that exceeds a limit together with the layers before it. An image may list one many times."""
        self._facts.append(facts)
        if (problem := COMMAND_LIMITS.broken_by_all(self._facts)) is not None:
            raise ManifestInvalid(problem.value)

    def entries(self) -> list[TreeEntry]:
        """Return the resulting tree, sorted by the components of the paths."""
        return list(self._tree.entries())


async def flattened(layers: Sequence[LayerSource], stack: ExitStack, progress: Progress) -> list[TreeEntry]:
    """Apply layers in threads, and return the resulting tree.

    Args:
        layers: the layers, the lowest first.
        stack: closes the unnamed files. Contents can be read until then.
        progress: receives the number of bytes that are done.

    Raises:
        ManifestInvalid, ConfigurationFault, StorageFault: as for :meth:`Flattening.steps`.
    """
    progress.expect(sum(layer.span.size_bytes for layer in layers))
    flattening = Flattening(layers, stack)
    async for size_bytes in stepped(flattening.steps()):
        progress.advance(size_bytes)
    return await in_thread(flattening.entries)


def _spooled(
    layer: LayerSource, spool: IO[bytes], name: str
) -> Generator[int, None, tuple[list[tuple[LayerEntry, FileSpan]], LayerFacts]]:
    """Decompress a layer into a file, and return its entries and its facts.

    All checks come before the return, so that nothing of an invalid layer is used.
    """
    hasher = new_hasher(layer.digest.algorithm if layer.digest else "sha256")
    found: list[tuple[LayerEntry, FileSpan]] = []

    def take(entry: LayerEntry) -> None:
        entry.require_possible()
        found.append((entry, FileSpan(spool.fileno(), entry.offset_bytes, entry.size_bytes, name)))

    # The tar stays on disk, so a layer may be larger than memory. Entries refer to their content by offset.
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
        raise ManifestInvalid(f"does not match its digest {layer.digest}")
    if layer.diff_id is not None and facts.diff_id != layer.diff_id:
        raise ManifestInvalid(f"does not match the diff_id in the configuration ({layer.diff_id})")
    return found, facts
