"""The usage of quotas, over several processes and against a model."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from sqlalchemy import func, select

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestBlobUnknown, NotFound, QuotaExceeded
from mirror.records.lifecycle.quotas import Amounts
from mirror.registry.streams import single_chunk
from mirror.store.catalog.pushes import push_rows
from mirror.store.catalog.tables.collection_tables import quota_additions, quota_reservations
from mirror.store.records.quotas import sql_quotas
from mirror.store.registry import Store
from tests.support.builders import OTHER, REPOSITORY, manifest_of, push_blob, push_image
from tests.support.clocks import HandClock
from tests.support.quotas import MIB, QuotaSite, quota


@pytest.fixture
async def stores(folder: Path) -> AsyncIterator[list[Store]]:
    """Two processes on one data folder."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Store.open(folder)) for _ in range(2)]


async def test_a_process_counts_at_once_what_another_one_stores(stores: list[Store]) -> None:
    one, other = [QuotaSite(store, [quota(size_bytes=1000)]) for store in stores]
    await push_blob(other.seen_by(), b"known" * 20)
    for number in range(4):
        await push_blob(one.seen_by(), bytes([number]) * 200)
    with pytest.raises(QuotaExceeded):
        await push_blob(other.seen_by(), b"x" * 200)
    await push_blob(other.seen_by(), b"x" * 100)


async def test_a_process_counts_what_another_one_reserves(stores: list[Store]) -> None:
    one, other = [QuotaSite(store, [quota(size_bytes=5 * MIB)]) for store in stores]
    upload = await one.seen_by().begin_upload(REPOSITORY)
    await upload.append(single_chunk(bytes(3 * MIB)), size_bytes=3 * MIB)
    with pytest.raises(QuotaExceeded):
        await push_blob(other.seen_by(), b"x" * (3 * MIB))


async def test_a_deletion_by_another_process_makes_room(stores: list[Store]) -> None:
    one, other = [QuotaSite(store, [quota(manifests=1)]) for store in stores]
    held = await push_image(one.seen_by(), "one")
    with pytest.raises(QuotaExceeded):
        await push_image(one.seen_by(), "two")
    await other.store.delete_manifest(REPOSITORY, held.digest)
    await push_image(one.seen_by(), "two")


async def test_a_repository_of_the_same_blob_counts_again(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=10_000), quota("contiv/*", size_bytes=10_000)])
    for repository in (REPOSITORY, OTHER):
        await push_blob(store, bytes(700), repository)
    assert [one.used.size_bytes for one in await site.usages()] == [1400, 700]


async def test_a_manifest_that_is_held_as_a_blob_too_counts_once(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=10_000)])
    held = await push_image(store, "one")
    before = await site.used_bytes()
    await push_blob(store, held.content)
    assert await site.used_bytes() == before


async def test_a_blob_that_another_manifest_names_counts_after_a_deletion(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=10_000)])
    shared = await push_blob(store, bytes(700))
    config = await push_blob(store, b"{}")
    both = [
        manifest_of({"config": config.to_json(), "layers": [shared.to_json()], "annotations": {"n": name}})
        for name in ("one", "two")
    ]
    for manifest in both:
        await store.put_manifest(REPOSITORY, manifest)
    await store.delete_manifest(REPOSITORY, both[0].digest)
    assert await site.used_bytes() == 702 + both[1].size_bytes
    await store.delete_manifest(REPOSITORY, both[1].digest)
    assert await site.used_bytes() == 0


async def test_more_repositories_than_fit_in_one_statement(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.store.catalog.rows._IN_LIMIT", 2)
    site = QuotaSite(store, [quota("many/*", size_bytes=10_000)])
    for number in range(5):
        await push_blob(store, bytes(10), Repository(f"many/{number}"))
    assert await site.used_bytes() == 50


async def test_old_rows_of_pushes_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    monkeypatch.setattr(sql_quotas, "monotonic", clock.monotonic_seconds)
    monkeypatch.setattr(push_rows, "monotonic", clock.monotonic_seconds)
    async with Store.open(folder, clock=clock) as store:
        site = QuotaSite(store, [quota(size_bytes=10 * MIB)])
        upload = await site.seen_by().begin_upload(REPOSITORY)
        await upload.append(single_chunk(bytes(2 * MIB)), size_bytes=2 * MIB)
        await push_blob(site.seen_by(), b"first")
        clock.advance(hours=2)
        await push_blob(site.seen_by(), b"second")
        counts = [
            await store.services.catalog.read(lambda connection, one=one: connection.execute(one).scalar_one())
            for one in (select(func.count()).select_from(table) for table in (quota_additions, quota_reservations))
        ]
        assert counts == [1, 0]
        assert await site.used_bytes() == len(b"firstsecond")


async def test_knowledge_that_is_too_old_is_renewed_before_a_decision(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = QuotaSite(store, [quota(size_bytes=1000)])
    upload = await site.seen_by().begin_upload(REPOSITORY)
    await upload.append(single_chunk(bytes(500)))
    # Rows of additions may be gone by now, and nothing has changed since.
    monkeypatch.setattr(push_rows, "monotonic", lambda: sql_quotas.monotonic() + 300)
    with pytest.raises(QuotaExceeded, match="retry"):
        await upload.commit(Digest.of(bytes(500)))


class Walk:
    """Random pushes and deletions by two users in two repositories, through two processes."""

    def __init__(self, stores: list[Store], seed: int) -> None:
        self.random = random.Random(seed)
        quotas = [
            quota(size_bytes=4000, manifests=4, tags=3),
            quota("contiv/**", size_bytes=2000),
            quota(user="anna", size_bytes=1500, tags=1),
            quota(user="*", manifests=2),
        ]
        self.sites = [QuotaSite(store, quotas) for store in stores]
        self.blobs = [bytes([number]) * self.random.randrange(100, 900) for number in range(8)]
        self.manifests: list[tuple[Repository, Manifest]] = []

    async def step(self) -> None:
        """Make a random change. A refusal changes nothing."""
        pick = self.random
        seen = pick.choice(self.sites).seen_by(pick.choice(["anna", "ben", None]))
        repository, other = pick.sample([REPOSITORY, OTHER], 2)
        action = pick.randrange(6)
        with suppress(QuotaExceeded, NotFound, ManifestBlobUnknown):
            if action == 0:
                await push_blob(seen, pick.choice(self.blobs), repository)
            elif action == 1:
                await seen.mount_blob(repository, Digest.of(pick.choice(self.blobs)), other)
            elif action == 2 and self.manifests:
                where, held = pick.choice(self.manifests)
                await seen.delete_manifest(where, held.digest)
            elif action == 3:
                await seen.delete_blob(repository, Digest.of(pick.choice(self.blobs)))
            elif action == 4:
                await seen.delete_tag(repository, Tag(str(pick.randrange(4))))
            else:
                await self._push_manifest(seen, repository)

    async def _push_manifest(self, seen, repository: Repository) -> None:
        pick = self.random
        descriptors = [await seen.stat_blob(repository, Digest.of(each)) for each in pick.sample(self.blobs, 2)]
        config, layer = [each.to_json() for each in descriptors]
        pushed = manifest_of({"config": config, "layers": [layer]})
        await seen.put_manifest(repository, pushed, [Tag(str(pick.randrange(4)))] * pick.randrange(2))
        self.manifests.append((repository, pushed))


@pytest.mark.parametrize("seed", range(4))
async def test_no_order_of_pushes_and_deletions_passes_a_quota(stores: list[Store], seed: int) -> None:
    walk = Walk(stores, seed)
    for _ in range(120):
        await walk.step()
        for usage in await walk.sites[0].usages():
            assert usage.part <= 1, usage
    assert sum(sum(site.counted(0)) for site in walk.sites) > 0


async def test_nothing_is_used_of_an_empty_store(store: Store) -> None:
    site = QuotaSite(store, [quota(tags=1), quota(user="anna", tags=1), quota(user="*", tags=1)])
    assert [(one.account.scope, one.used) for one in await site.usages()] == [
        ("repositories **", Amounts()),
        ("user anna", Amounts()),
    ]
