"""Limits on the total size read from a plugin's layers."""

from __future__ import annotations

import pytest

from mirror.oci import Descriptor, Digest
from mirror.oci.media_types import DOCKER_LAYER_GZIP
from mirror.plugin.rootfs.layer_facts import LayerFacts, LayerProblem
from mirror.plugin.rootfs.layer_limits import ALLOWANCE_BYTES, LayerLimits, PluginLayers

LIMITS = LayerLimits(plugin_bytes=10**9, entries=1000, layers=3)


def facts(tar_bytes: int = 1000, entries: int = 1, size_bytes: int = 10**9) -> LayerFacts:
    return LayerFacts(size_bytes, True, Digest.of(b"tar"), tar_bytes, entries)


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        ([facts()] * 3, None),
        ([facts()] * 4, LayerProblem.TOO_MANY_LAYERS),
        ([facts(entries=500), facts(entries=500)], None),
        ([facts(entries=500), facts(entries=501)], LayerProblem.TOO_MANY_ENTRIES),
        ([facts(tar_bytes=5 * 10**8)] * 2, None),
        ([facts(tar_bytes=5 * 10**8), facts(tar_bytes=5 * 10**8 + 1)], LayerProblem.PLUGIN_TOO_LARGE),
        ([facts(ALLOWANCE_BYTES, size_bytes=10)] * 2, LayerProblem.TOO_DENSE),
    ],
)
def test_layers_are_limited_all_together(read: list[LayerFacts], problem: LayerProblem | None) -> None:
    layers = PluginLayers(LIMITS)
    for number, one in enumerate(read):
        assert layers.problem is None
        layers.add(Digest.of(bytes([number])), one)

    assert layers.problem is problem
    last = layers.facts[Digest.of(bytes([len(read) - 1]))]
    assert last.problem is problem
    assert (last.diff_id is None) == (problem is not None)


def test_what_comes_after_a_limit_is_not_read() -> None:
    layers = PluginLayers(LIMITS)
    layers.add(Digest.of(b"0"), LayerFacts(10, True, None, 10**9, 1, LayerProblem.TOO_DENSE))
    assert layers.problem is LayerProblem.TOO_DENSE
    layers.pass_over(Descriptor(DOCKER_LAYER_GZIP, Digest.of(b"1"), 17))
    assert layers.facts[Digest.of(b"1")].problem is LayerProblem.TOO_DENSE


def test_a_damaged_layer_is_no_limit() -> None:
    layers = PluginLayers(LIMITS)
    layers.add(Digest.of(b"0"), LayerFacts(10, True, None, 10, 1, LayerProblem.GZIP_BROKEN))
    assert layers.problem is None
