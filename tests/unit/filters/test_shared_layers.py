"""The shared reader of layers in a process: few layers at a time, each layer once, and fair turns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from mirror.filters import shared_layers
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Digest, Repository
from mirror.oci.errors import BlobUnknown, ManifestInvalid
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import single_chunk
from tests.support.layers import LAYER, entry, read, tar, zipped
from tests.support.waiting import until
from tests.unit.filters.checked import HERE, Checked, Watched


class Hops:
    """A recorder of the hops into threads.

    Attributes:
        costs: bytes that each hop unpacked, in order.
        most: largest number of hops at the same time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.costs: list[int] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        hop = shared_layers._hop

        def watched(steps: Iterator[int]) -> tuple[int, bool]:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            cost, has_more = hop(steps)
            with self._lock:
                self._now -= 1
                self.costs.append(cost)
            return cost, has_more

        monkeypatch.setattr(shared_layers, "_hop", watched)


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> Hops:
    return Hops(monkeypatch)


async def held(registry: Watched, layer: bytes, repository: Repository = HERE) -> Digest:
    upload = await registry.begin_upload(repository)
    await upload.append(single_chunk(layer))
    return (await upload.commit(Digest.of(layer))).digest


def large(number: int, mebibytes: int = 40) -> bytes:
    return zipped(tar(entry(f"large-{number}", bytes(mebibytes << 20))), level=1)


async def test_a_layer_that_many_ask_for_is_read_once(hops: Hops) -> None:
    registry, reading = Watched(MemoryRegistry()), SharedLayerReader(DEFAULT_LIMITS)
    digest = await held(registry, LAYER)
    await held(registry, LAYER, Repository("acme/copy"))
    asked = [reading.facts(registry, HERE, digest) for _ in range(10)]
    asked += [reading.of(registry).facts(Repository("acme/copy"), digest) for _ in range(10)]
    told = await asyncio.gather(*asked)

    assert len(set(told)) == 1
    assert len(registry.reads) == 1
    assert await reading.facts(registry, HERE, digest) == told[0]
    assert len(registry.reads) == 1


async def test_what_a_repository_does_not_hold_is_not_told_of() -> None:
    registry, reading = Watched(MemoryRegistry()), SharedLayerReader(DEFAULT_LIMITS)
    digest = await held(registry, LAYER)
    await reading.facts(registry, HERE, digest)
    with pytest.raises(BlobUnknown):
        await reading.facts(registry, Repository("acme/copy"), digest)


async def test_a_layer_whose_writer_told_its_facts_is_not_read() -> None:
    registry, reading = Watched(MemoryRegistry()), SharedLayerReader(DEFAULT_LIMITS)
    digest = await held(registry, LAYER)
    reading.remember(digest, read(LAYER))
    assert await reading.facts(registry, HERE, digest) == read(LAYER)
    assert registry.begun == []
    with pytest.raises(BlobUnknown):
        await reading.facts(registry, Repository("acme/copy"), digest)


@pytest.mark.parametrize(
    "limits",
    [LayerLimits(layer_bytes=512), LayerLimits(plugin_bytes=512), LayerLimits(ratio=5), LayerLimits(entries=1)],
)
async def test_a_layer_near_a_limit_is_read_whatever_its_writer_told(limits: LayerLimits) -> None:
    registry, reading = Watched(MemoryRegistry()), SharedLayerReader(limits)
    digest = await held(registry, LAYER)
    reading.remember(digest, read(LAYER))
    assert await reading.facts(registry, HERE, digest) == read(LAYER, limits=limits)
    assert registry.begun == [digest]


async def test_few_layers_are_read_at_a_time_and_no_hop_is_long(hops: Hops) -> None:
    registry, reading = Watched(MemoryRegistry()), SharedLayerReader(DEFAULT_LIMITS)
    digests = [await held(registry, large(number)) for number in range(6)]
    await asyncio.gather(*[reading.facts(registry, HERE, digest) for digest in digests])

    assert hops.most <= 2
    assert max(hops.costs) <= 5 * 1024 * 1024
    assert len(hops.costs) >= 6 * 10


async def test_a_small_push_does_not_wait_for_large_ones(hops: Hops) -> None:
    registry, reading = Watched(MemoryRegistry()), SharedLayerReader(DEFAULT_LIMITS)
    digests = [await held(registry, large(number), Repository(f"evil/{number}")) for number in range(12)]
    digest = await held(registry, LAYER)
    others = [
        asyncio.create_task(reading.facts(registry, Repository(f"evil/{number}"), digest))
        for number, digest in enumerate(digests)
    ]
    await until(lambda: len(hops.costs) >= 24)
    before = len(hops.costs)
    await reading.facts(registry, HERE, digest)
    waited_for = len(hops.costs) - before

    assert not any(task.done() for task in others)
    assert waited_for <= 12
    await asyncio.gather(*others)


async def test_the_worst_that_a_plugin_of_many_bombs_costs_is_bounded(hops: Hops) -> None:
    limits = LayerLimits(layer_bytes=40_000_000, plugin_bytes=60_000_000, ratio=1100)
    checked = Checked(limits)
    plugin = await checked.plugin(b"{}", *[large(number, 30) for number in range(10)])
    with pytest.raises(ManifestInvalid, match=r"server\.limits\.unpacked_plugin_bytes"):
        await checked.registry.put_manifest(HERE, plugin)

    assert sum(hops.costs) < 100_000_000


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        (LayerLimits(layer_bytes=10_000_000, ratio=1100), r"server\.limits\.unpacked_layer_bytes"),
        (LayerLimits(ratio=1), r"server\.limits\.unpacked_ratio"),
    ],
)
async def test_a_refusal_names_the_setting(limits: LayerLimits, setting: str) -> None:
    checked = Checked(limits)
    plugin = await checked.plugin(b"{}", large(0, 150))
    with pytest.raises(ManifestInvalid, match=setting):
        await checked.registry.put_manifest(HERE, plugin)


async def test_a_push_that_is_given_up_leaves_no_turn_taken(hops: Hops) -> None:
    registry, reading = Watched(MemoryRegistry()), SharedLayerReader(DEFAULT_LIMITS)
    digests = [await held(registry, large(number)) for number in range(5)]
    tasks = [asyncio.create_task(reading.facts(registry, HERE, digest)) for digest in digests]
    await until(lambda: len(hops.costs) >= 4)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert (await reading.facts(registry, HERE, digests[0])).problem is None
