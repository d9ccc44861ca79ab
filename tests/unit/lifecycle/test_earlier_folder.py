"""A data folder of a version without a collection: nothing that is needed goes, and its garbage is found and goes."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.lifecycle.collector import Collector
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import StorageDamaged
from mirror.records.lifecycle.reviews import CollectionRules, Grace, ReviewKind
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import plugin, push_blob, read_blob
from tests.support.clocks import ShiftedClock
from tests.support.collecting import content_of, kept_bytes

IMAGE, DRIVER, COPY = Repository("acme/image"), Repository("acme/driver"), Repository("acme/copy")
DAMAGED, PULLED = Repository("acme/damaged"), Repository("pulled/driver")
ORIGINAL = plugin(b'{"Description":"original"}', b"layer of an original")
APPROVED = plugin(b'{"Description":"approved"}', b"layer of an approved plugin")
COMING = plugin(b'{"Description":"coming"}', b"not here yet")
GARBAGE = (
    b"layer of garbage: untagged",
    b"layer of garbage: signature",
    b"layer of garbage: member",
    b"layer of garbage: deleted",
    b"layer of garbage: repository",
    b"garbage: in no manifest",
    b"garbage: deleted",
    b"garbage: orphan",
)


@pytest.fixture
def clock() -> ShiftedClock:
    """The clock of ``old``: files of the folder have times of the machine."""
    return ShiftedClock()


@pytest.fixture
async def old(folder: Path, clock: ShiftedClock) -> AsyncIterator[Store]:
    """The folder, opened by this version."""
    with tarfile.open(Path(__file__).parents[1] / "store" / "folders" / "revision-0014.tar.gz") as archive:
        archive.extractall(folder, filter="fully_trusted")
    async with Store.open(folder, clock=clock) as opened:
        yield opened


async def collect(store: Store, clock: ShiftedClock) -> None:
    """Do what the server does in the background in some weeks: comparisons, sweeps, decisions and removals."""
    rules = CollectionRules(Grace(), untagged_default=timedelta(days=7))
    collector = Collector(store.records.reviews, rules, store.uploads.repositories, clock)
    for _ in range(4):
        await store.records.reviews.compare()
        for prefix in range(256):
            await store.records.reviews.doom_orphans(timedelta(days=1), f"{prefix:02x}")
        clock.advance(days=8)
        await collector.collect()


async def needed(store: Store) -> dict[Digest, Manifest]:
    """Read every manifest that is needed, with all its blobs."""
    found = {(PULLED, Tag("1.0")), (DRIVER, ORIGINAL.digest), (DRIVER, APPROVED.digest)}
    for repository in (IMAGE, DRIVER, COPY):
        found |= {(repository, tag) for tag in (await store.list_tags(repository, PageRequest())).entries}
    manifests = {}
    while found:
        repository, target = found.pop()
        manifest = await store.get_manifest(repository, target)
        manifests[manifest.digest] = manifest
        for blob in manifest.blobs:
            assert Digest.of(await read_blob(store, blob.digest, repository)) == blob.digest
        found |= {(repository, member.digest) for member in manifest.manifests}
        referrers = await store.list_referrers(repository, manifest.digest, None, PageRequest())
        found |= {(repository, referrer.digest) for referrer in referrers.entries}
    return manifests


async def test_what_is_needed_stays_and_garbage_goes(folder: Path, old: Store, clock: ShiftedClock) -> None:
    assert (folder / "catalog-0014.sqlite").exists()
    before = await needed(old)
    assert {Digest.of(content) for content in GARBAGE} <= kept_bytes(folder)

    await collect(old, clock)
    assert await needed(old) == before
    kept = kept_bytes(folder) - content_of(*before.values())
    assert kept - {COMING.digest, COMING.config.digest} == await of_the_damaged(old)


async def of_the_damaged(store: Store) -> set[Digest]:
    """Return what stays because a manifest that cannot be read may name it."""
    with pytest.raises(StorageDamaged) as raised:
        await store.get_manifest(DAMAGED, Tag("1.0"))
    named = (b'{"name": "damaged"}', b"layer of damaged", b"perhaps a layer of the damaged image")
    return {Digest.parse(raised.value.detail["digest"]), *map(Digest.of, named)}


async def test_an_incomplete_manifest_of_before_becomes_complete(folder: Path, old: Store, clock: ShiftedClock) -> None:
    await collect(old, clock)
    await push_blob(old, b"not here yet", PULLED)
    await old.records.incomplete.arrived(PULLED, Digest.of(b"not here yet"))
    assert await old.get_manifest(PULLED, Tag("2.0")) == COMING


async def test_a_second_comparison_finds_nothing(old: Store) -> None:
    assert (await old.records.reviews.compare())[ReviewKind.MANIFEST] > 0
    assert not any((await old.records.reviews.compare()).values())
