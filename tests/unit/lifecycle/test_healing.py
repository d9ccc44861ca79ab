"""Damaged content is fetched again from sources, verified, and tried again later if no source has it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from mirror.lifecycle.healing import Healer, HealingSource
from mirror.oci import Digest, Manifest, Tag
from mirror.oci.errors import ManifestUnknown, UpstreamUnreachable
from mirror.records.lifecycle.damage import ContentUse, StoredContent
from mirror.store.registry import Store
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.graph.places import CopySource
from tests.support.builders import REPOSITORY, push_image, read_blob
from tests.support.clocks import HandClock
from tests.support.damage import WAYS, file_of, flip_a_bit, scrub
from tests.support.pull_through import NAME, Plugin, ScriptedUpstream, pulling, read

IMAGE = "one"


class Site:
    """A store with a damaged image, and the upstreams that have it.

    Attributes:
        sources: the upstreams, in the order in which they are asked.
    """

    def __init__(
        self, store: Store, folder: Path, clock: HandClock, image: Manifest, *sources: ScriptedUpstream
    ) -> None:
        self.store = store
        self.folder = folder
        self.image = image
        self.sources = sources
        self.clock = clock
        locks, arrived = BlobLocks(store.downloads), store.records.incomplete.arrived
        self.healer = Healer(store.records.damage, store, locks, self._find, arrived=arrived, clock=clock)

    @property
    def layer(self) -> Digest:
        return self.image.layers[0].digest

    async def _find(self, _use: ContentUse, _content: StoredContent) -> Sequence[HealingSource]:
        return [HealingSource(f"source {n}", CopySource(each, REPOSITORY)) for n, each in enumerate(self.sources)]


@pytest.fixture
async def site(folder: Path) -> AsyncIterator[Site]:
    clock = HandClock()
    async with Store.open(folder, clock=clock) as store:
        image = await push_image(store, IMAGE, "1")
        upstreams = [ScriptedUpstream(), ScriptedUpstream()]
        for upstream in upstreams:
            await push_image(upstream, IMAGE, "1")
        yield Site(store, folder, clock, image, *upstreams)


@pytest.mark.parametrize("damage", WAYS)
async def test_a_blob_is_healed_from_a_source(site: Site, damage: object) -> None:
    damage(file_of(site.folder, site.layer))  # type: ignore[operator]
    await scrub(site.store)
    (result,) = await site.healer.heal_due()
    assert (result.source, result.use.tags) == ("source 0", [f"{REPOSITORY}:1"])
    assert await read_blob(site.store, site.layer) == b"layer of one"
    assert await site.store.records.damage.damaged() == []
    assert (await site.store.records.damage.counts()).healed == 1


async def test_a_manifest_is_healed_from_a_source(site: Site) -> None:
    flip_a_bit(file_of(site.folder, site.image.digest))
    await scrub(site.store)
    (result,) = await site.healer.heal_due()
    assert result.source == "source 0"
    async with Store.open(site.folder) as reopened:
        assert (await reopened.get_manifest(REPOSITORY, Tag("1"))).content == site.image.content


async def test_wrong_bytes_of_a_source_are_refused_and_the_next_one_is_asked(site: Site) -> None:
    flip_a_bit(file_of(site.folder, site.layer))
    site.sources[0].instead[site.layer] = b"layer of two"
    await scrub(site.store)
    (result,) = await site.healer.heal_due()
    assert result.source == "source 1"
    assert await read_blob(site.store, site.layer) == b"layer of one"


async def test_a_failed_attempt_is_told_and_repeated_after_a_growing_pause(site: Site) -> None:
    flip_a_bit(file_of(site.folder, site.layer))
    await scrub(site.store)
    for source in site.sources:
        source.failure = UpstreamUnreachable("no route")
    (result,) = await site.healer.heal_due()
    assert (result.source, result.error) == ("", "source 0: no route; source 1: no route")
    assert await site.healer.heal_due() == []
    (damaged,) = await site.store.records.damage.damaged()
    assert (damaged.attempts, damaged.last_error) == (1, result.error)
    site.clock.advance(minutes=2)
    for source in site.sources:
        source.failure = None
    (result,) = await site.healer.heal_due()
    assert result.source == "source 0"


async def test_a_manifest_that_waited_for_healed_content_becomes_complete(store: Store, folder: Path) -> None:
    async with pulling(store) as world:
        plugin = await Plugin.make().at(world.hub)
        await world.registry.get_manifest(NAME, Tag("latest"))
        config, layer = Digest.of(plugin.config), Digest.of(plugin.layer)
        await read(world.registry.open_blob(NAME, config))
        await world.idle()
        flip_a_bit(file_of(folder, config))
        await scrub(store)
        await read(world.registry.open_blob(NAME, layer))
        await world.idle()
        with pytest.raises(ManifestUnknown):
            await store.get_manifest(NAME, Tag("latest"))

        async def hub(_use: ContentUse, _content: StoredContent) -> Sequence[HealingSource]:
            return [HealingSource("hub", CopySource(world.hub, NAME))]

        locks, arrived = BlobLocks(store.downloads), store.records.incomplete.arrived
        await Healer(store.records.damage, store, locks, hub, arrived=arrived, clock=world.clock).heal_all()
        assert (await store.get_manifest(NAME, Tag("latest"))).digest == plugin.manifest.digest


async def test_known_damage_can_be_healed_at_once(site: Site) -> None:
    flip_a_bit(file_of(site.folder, site.layer))
    await scrub(site.store)
    await site.store.records.damage.note_attempt(site.layer, "offline")
    assert await site.healer.heal_due() == []
    assert [result.source for result in await site.healer.heal_all()] == ["source 0"]


async def test_what_a_read_found_damaged_is_set_aside_and_healed(site: Site) -> None:
    flip_a_bit(file_of(site.folder, site.layer))
    with pytest.raises(Exception, match="damaged"):
        await read_blob(site.store, site.layer)
    (result,) = await site.healer.heal_suspects()
    assert result.source == "source 0"
    assert await read_blob(site.store, site.layer) == b"layer of one"
    assert await site.healer.heal_suspects() == ()


async def test_a_file_that_comes_back_needs_no_source(site: Site) -> None:
    file = file_of(site.folder, site.layer)
    file.rename(site.folder / "away")
    await scrub(site.store)
    (site.folder / "away").rename(file)
    (result,) = await site.healer.heal_due()
    assert result.source == "the disk"
    assert not site.sources[0].asked


async def test_content_that_nothing_holds_is_left_to_the_collection(site: Site) -> None:
    flip_a_bit(file_of(site.folder, site.layer))
    await scrub(site.store)
    await site.store.delete_manifest(REPOSITORY, site.image.digest)
    await site.store.delete_blob(REPOSITORY, site.layer)
    assert await site.healer.heal_due() == []
    assert not site.sources[0].asked


async def test_damage_of_which_the_catalog_has_a_wrong_size_is_healed(site: Site) -> None:
    flip_a_bit(file_of(site.folder, site.layer))
    with closing(sqlite3.connect(site.folder / "catalog.sqlite")) as catalog, catalog:
        catalog.execute("UPDATE blobs SET size_bytes = 7 WHERE digest = ?", (str(site.layer),))
    await scrub(site.store)
    (result,) = await site.healer.heal_due()
    assert result.source == "source 0", result.error
    assert await read_blob(site.store, site.layer) == b"layer of one"
