"""Limits for reading untrusted layers. A few bytes of gzip may unpack to a thousand times as many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mirror.oci import Descriptor, Digest
from mirror.plugin.rootfs.layer_facts import LayerFacts, LayerProblem

_GIB: Final = 1024**3
#: Bytes that any layer may unpack to, whatever its size, so that a small layer may hold a file full of zeros.
ALLOWANCE_BYTES: Final = 128 * 1024**2
#: Most files, folders and links. Whole distributions have about 100 000.
MOST_ENTRIES: Final = 500_000

#: Factor of their own size that ordinary layers unpack to at most, in addition to :data:`ALLOWANCE_BYTES`.
ORDINARY_RATIO: Final = 10


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """Limits of the size that layers unpack to.

    Attributes:
        layer_bytes: largest tar of a layer. The largest real plugins have about 2 GiB.
        plugin_bytes: largest sum of the tars of all layers of a plugin.
        ratio: factor of its own size that a layer may unpack to, in addition to :data:`ALLOWANCE_BYTES`. Root
            filesystems unpack to 2 to 10 times their size; deflate reaches at most 1032 times.
        entries: most headers in the tar of a layer, most members of its gzip stream, and most entries of all layers of
            a plugin.
        layers: most layers of a plugin that are read; real plugins have one.
    """

    layer_bytes: int = 4 * _GIB
    plugin_bytes: int = 8 * _GIB
    ratio: int = 50
    entries: int = MOST_ENTRIES
    layers: int = 128

    def broken_by(self, layer_bytes: int, tar_bytes: int) -> LayerProblem | None:
        """Return the limit that a layer exceeds; None if it exceeds none.

        Args:
            layer_bytes: bytes of the layer that were read.
            tar_bytes: bytes of the tar that were decompressed from them.
        """
        if tar_bytes > self.layer_bytes:
            return LayerProblem.TOO_LARGE
        return LayerProblem.TOO_DENSE if self._is_dense(layer_bytes, tar_bytes) else None

    def leave_whole(self, facts: LayerFacts) -> bool:
        """Return True if reading a layer of :data:`ORDINARY_RATIO` certainly meets no limit before the end."""
        # Each entry may have one extended header.
        return (
            self.ratio >= ORDINARY_RATIO
            and facts.tar_bytes <= self.layer_bytes
            and 2 * facts.entries <= self.entries
            and self.broken_by_all([facts]) is None
        )

    def broken_by_all(self, read: Iterable[LayerFacts]) -> LayerProblem | None:
        """Return the limit that all layers of a plugin together exceed; None if they exceed none."""
        layers = list(read)
        tar_bytes = sum(facts.tar_bytes for facts in layers)
        if len(layers) > self.layers:
            return LayerProblem.TOO_MANY_LAYERS
        if sum(facts.entries for facts in layers) > self.entries:
            return LayerProblem.TOO_MANY_ENTRIES
        if tar_bytes > self.plugin_bytes:
            return LayerProblem.PLUGIN_TOO_LARGE
        dense = self._is_dense(sum(facts.size_bytes for facts in layers), tar_bytes)
        return LayerProblem.TOO_DENSE if dense else None

    def _is_dense(self, layer_bytes: int, tar_bytes: int) -> bool:
        """True if the ratio of unpacked to packed size is suspicious."""
        return tar_bytes > ALLOWANCE_BYTES + self.ratio * layer_bytes


DEFAULT_LIMITS: Final = LayerLimits()
#: Limits for commands that unpack. They are wider than the server's because a command delays nobody else, and its user
#: provides the disk (ADR 24).
COMMAND_LIMITS: Final = LayerLimits(layer_bytes=64 * _GIB, plugin_bytes=64 * _GIB, ratio=200)


class PluginLayers:
    """Facts of a plugin's layers, collected while the layers are read one after the other.

    Args:
        limits: limits beyond which no further layer is read.

    Attributes:
        facts: facts by digest, also of the layers that were not read because of a limit.
        problem: limit that was exceeded; the remaining layers are not read.
    """

    def __init__(self, limits: LayerLimits) -> None:
        self.facts: dict[Digest, LayerFacts] = {}
        self.problem: LayerProblem | None = None
        self._limits = limits

    def add(self, digest: Digest, facts: LayerFacts) -> None:
        """Record the facts of a layer that was read."""
        self.facts[digest] = facts
        if facts.problem is not None and facts.problem.is_limit:
            self.problem = facts.problem
            return
        self.problem = self._limits.broken_by_all(self.facts.values())
        if self.problem is not None:
            # The layer is sound but takes the plugin over the limit, so its digest must not count as checked.
            self.facts[digest] = replace(facts, diff_id=None, problem=facts.problem or self.problem)

    def pass_over(self, layer: Descriptor) -> None:
        """Record that a layer was not read because a limit was exceeded."""
        self.facts[layer.digest] = LayerFacts(layer.size_bytes, True, None, 0, 0, self.problem)  # noqa: FBT003
