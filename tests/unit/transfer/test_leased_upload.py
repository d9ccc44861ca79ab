"""A sync and a pull-through of the same blob. Two open stores on one folder behave as two processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import DigestInvalid, UpstreamUnreachable
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.store.registry import Store
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.blob_request import BlobRequest, Source
from mirror.transfer.copy_engine import Copied, copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import hold, plugin
from tests.support.pull_through import PIECE_BYTES, QUICK, ScriptedUpstream, content, raised, read
from tests.support.waiting import until
from tests.unit.transfer.told import Told

THERE, SYNCED, PULLED = Repository("there/plugin"), Repository("synced/plugin"), Repository("pulled/plugin")
TAG = Tag("latest")
CONFIG, LAYER = b"{}", content(1, 4_000_000)[:4_000_000]
DIGEST = Digest.of(LAYER)


@pytest.fixture
async def hub() -> ScriptedUpstream:
    upstream = ScriptedUpstream()
    await hold(upstream, THERE, [CONFIG, LAYER], [plugin(CONFIG, LAYER)], TAG.name)
    return upstream


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened
        assert not list(opened.uploads._layout.uploads.rglob("data"))  # an empty folder may remain until it expires


@pytest.fixture
async def downloads(tmp_path: Path, store: Store) -> AsyncIterator[ActiveDownloads]:
    told = Told()
    async with Store.open(tmp_path / "data") as opened, BackgroundTasks() as tasks:
        yield ActiveDownloads(opened, opened.downloads, tasks, told, told.note, retry=QUICK)


def syncing(store: Store, hub: ScriptedUpstream) -> "asyncio.Task[Copied]":
    copying = copy_graph(
        CopySource(hub, THERE),
        TAG,
        CopyDestination(store, SYNCED),
        [TAG],
        SilentProgress(),
        locks=BlobLocks(store.downloads),
    )
    return asyncio.create_task(copying)


def pulling(downloads: ActiveDownloads, hub: ScriptedUpstream) -> "asyncio.Task[bytes]":
    wanted = BlobRequest(PULLED, DIGEST, len(LAYER), (Source("hub", hub, THERE),))
    return asyncio.create_task(read(downloads.open(wanted)))


async def test_a_sync_waits_for_a_pull_and_moves_nothing(
    store: Store, downloads: ActiveDownloads, hub: ScriptedUpstream
) -> None:
    hub.limit = 100_000
    reading = pulling(downloads, hub)
    await until(lambda: hub.sent_bytes >= 100_000)
    copying = syncing(store, hub)
    await until(lambda: hub.asked["open_blob"] == 2)  # the layer by the pull, the config by the sync
    hub.limit = None
    assert await reading == LAYER
    assert (await copying).moved_bytes == len(CONFIG)
    assert hub.sent_bytes == len(LAYER) + len(CONFIG)
    assert await read(store.open_blob(SYNCED, DIGEST)) == LAYER


async def test_a_pull_is_given_what_a_sync_brings_while_it_comes(
    store: Store, downloads: ActiveDownloads, hub: ScriptedUpstream
) -> None:
    hub.limit = 100_000
    copying = syncing(store, hub)
    await until(lambda: hub.sent_bytes >= 100_000)
    wanted = BlobRequest(PULLED, DIGEST, len(LAYER), (Source("hub", hub, THERE),))
    # A pull begins when it sees the file grow. Nobody knows when it looks first, so the file grows until it has begun.
    growing = asyncio.create_task(grow(hub))
    async with downloads.open(wanted) as blob:
        growing.cancel()
        assert b"".join([chunk async for chunk in first(blob, 100_000)]) == LAYER[:100_000]
        assert not copying.done()
        hub.limit = None
    assert (await copying).moved_bytes == len(CONFIG) + len(LAYER)
    await until(lambda: not downloads.count)
    assert hub.sent_bytes == len(LAYER) + len(CONFIG)
    assert await read(store.open_blob(PULLED, DIGEST)) == LAYER


async def grow(hub: ScriptedUpstream) -> None:
    for limit in range(hub.sent_bytes, len(LAYER), PIECE_BYTES):
        hub.limit = limit
        await asyncio.sleep(0.05)


async def first(blob: object, size_bytes: int) -> AsyncIterator[bytes]:
    async for chunk in blob:  # type: ignore[attr-defined]
        yield chunk[:size_bytes]
        size_bytes -= len(chunk)
        if size_bytes <= 0:
            return


async def test_a_sync_goes_on_where_a_pull_broke_off(
    store: Store, downloads: ActiveDownloads, hub: ScriptedUpstream
) -> None:
    hub.breaks_at = {160_000: UpstreamUnreachable("gone")}
    hub.limit = 160_000
    reading = pulling(downloads, hub)
    await until(lambda: hub.sent_bytes >= 160_000)
    hub.limit, hub.failure = None, UpstreamUnreachable("gone")
    assert isinstance(await raised(reading), UpstreamUnreachable)
    await until(lambda: not downloads.count)
    hub.failure = None
    before = hub.sent_bytes
    assert (await syncing(store, hub)).moved_bytes == len(CONFIG) + len(LAYER) - before
    assert await read(store.open_blob(SYNCED, DIGEST)) == LAYER


async def leave(store: Store, leftover: bytes) -> None:
    claim = await store.downloads.claim_download(PULLED, DIGEST)
    assert claim is not None
    await claim.append(pieces(leftover), lambda: None)
    await claim.release()


@pytest.mark.parametrize("leftover", [b"#" * 150_000, LAYER[:-1] + b"!", LAYER + b"more"])
async def test_wrong_bytes_that_were_left_are_dropped_and_the_blob_is_brought_anew(
    store: Store, hub: ScriptedUpstream, leftover: bytes
) -> None:
    await leave(store, leftover)
    assert (await syncing(store, hub)).root.digest == plugin(CONFIG, LAYER).digest
    assert await read(store.open_blob(SYNCED, DIGEST)) == LAYER


async def test_a_blob_that_lacks_nothing_is_only_committed(store: Store, hub: ScriptedUpstream) -> None:
    await leave(store, LAYER)
    assert (await syncing(store, hub)).moved_bytes == len(CONFIG)
    assert await read(store.open_blob(SYNCED, DIGEST)) == LAYER


async def test_a_source_that_lies_leaves_nothing(store: Store, hub: ScriptedUpstream) -> None:
    hub.instead[DIGEST] = b"#" * len(LAYER)
    error = await raised(syncing(store, hub))
    assert isinstance(error, DigestInvalid)
    hub.instead.clear()
    assert (await syncing(store, hub)).root.digest == plugin(CONFIG, LAYER).digest


async def test_a_sync_that_is_stopped_leaves_what_has_come_to_a_pull(
    store: Store, downloads: ActiveDownloads, hub: ScriptedUpstream, tmp_path: Path
) -> None:
    hub.limit = 160_000
    copying = syncing(store, hub)
    data = tmp_path / "data/uploads" / str(DIGEST).replace(":", "-") / "data"
    await until(lambda: data.exists() and data.stat().st_size >= 160_000)
    copying.cancel()
    await asyncio.wait([copying])
    hub.limit = None
    before = hub.sent_bytes
    assert await pulling(downloads, hub) == LAYER
    await until(lambda: not downloads.count)
    assert hub.sent_bytes - before <= len(LAYER) - 160_000 + PIECE_BYTES
    assert (await syncing(store, hub)).root.digest == plugin(CONFIG, LAYER).digest


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content
