"""Limits of reading layers that come from outside: a few bytes of gzip may stand for a thousand times as many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mirror.oci import Descriptor, Digest
from mirror.plugin.rootfs.layer_facts import LayerFacts, LayerProblem

_GIB: Final = 1024**3
#: Bytes that may come out of a layer whatever its size, so that a small one may hold a file full of zeros.
ALLOWANCE_BYTES: Final = 128 * 1024**2
#: Most files, folders and links. Whole distributions have a hundred thousand.
MOST_ENTRIES: Final = 500_000


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """Limits of what layers unpack to.

    Attributes:
        layer_bytes: largest tar of a layer. Those of the largest real plugins have some 2 GiB.
        plugin_bytes: largest sum of the tars of a plugin's layers.
        ratio: how many times its size a layer may unpack to, beside :data:`ALLOWANCE_BYTES`. Root filesystems unpack to
            two to ten times their size, and the most that deflate can do is 1032 times.
        entries: most headers of the tar of a layer, most members of its gzip stream, and most entries of all layers of
            a plugin.
        layers: most layers of a plugin that are read; real ones have one.
    """

    layer_bytes: int = 4 * _GIB
    plugin_bytes: int = 8 * _GIB
    ratio: int = 50
    entries: int = MOST_ENTRIES
    layers: int = 128

    def broken_by(self, layer_bytes: int, tar_bytes: int) -> LayerProblem | None:
        """The limit that a layer goes beyond.

        Args:
            layer_bytes: how much of it was read.
            tar_bytes: what has come out of that.
        """
        if tar_bytes > self.layer_bytes:
            return LayerProblem.TOO_LARGE
        return LayerProblem.TOO_DENSE if self._is_dense(layer_bytes, tar_bytes) else None

    def broken_by_all(self, read: Iterable[LayerFacts]) -> LayerProblem | None:
        """The limit that the layers of a plugin go beyond, all together."""
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
        return tar_bytes > ALLOWANCE_BYTES + self.ratio * layer_bytes


DEFAULT_LIMITS: Final = LayerLimits()
#: For commands that unpack: whoever runs one waits for it alone, and has the disk that it goes to.
COMMAND_LIMITS: Final = LayerLimits(layer_bytes=64 * _GIB, plugin_bytes=64 * _GIB, ratio=200)


class PluginLayers:
    """The layers of a plugin while they are read, one after the other.

    Args:
        limits: beyond which none is read any more.

    Attributes:
        facts: of those that were read, and of those that are not read any more, by digest.
        problem: the limit that was met: the others are not read.
    """

    def __init__(self, limits: LayerLimits) -> None:
        self.facts: dict[Digest, LayerFacts] = {}
        self.problem: LayerProblem | None = None
        self._limits = limits

    def add(self, digest: Digest, facts: LayerFacts) -> None:
        """Note what reading a layer has told."""
        self.facts[digest] = facts
        if facts.problem is not None and facts.problem.is_limit:
            self.problem = facts.problem
            return
        self.problem = self._limits.broken_by_all(self.facts.values())
        if self.problem is not None:
            self.facts[digest] = replace(facts, diff_id=None, problem=facts.problem or self.problem)

    def pass_over(self, layer: Descriptor) -> None:
        """Note that a layer is not read, since a limit was met."""
        self.facts[layer.digest] = LayerFacts(layer.size_bytes, True, None, 0, 0, self.problem)  # noqa: FBT003
