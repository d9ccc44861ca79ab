"""A store whose content is in a bucket: the order of writes and deletions, and reads of what the cache lacks."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.app.bucket.cold_reading import reading_cold
from mirror.lifecycle.collector import Collector
from mirror.oci import Digest, Tag
from mirror.oci.errors import BlobUnknown, ConfigurationFault, StorageDamaged, UpstreamProtocolError
from mirror.oci.remote_storage_errors import BucketUnreachable
from mirror.records.lifecycle.damage import ExaminationResult
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.store.bucket import bucket as bucket_module
from mirror.store.bucket.bucket import Bucket, BucketAccess
from mirror.store.bucket.bucket_comparison import compare, doom_wrong
from mirror.store.catalog.tables.object_tables import bucket_objects, doomed_objects
from mirror.store.registry import Store
from mirror.wire.ranges import RangeRequest
from tests.harness.bucket_proxy import BucketProxy, Fault
from tests.harness.bucket_server import BucketServer
from tests.support.buckets import bucket_store, cached, drop_cache, new_bucket, objects_of, through
from tests.support.builders import OTHER, REPOSITORY, push_blob, push_image, read_blob
from tests.support.clocks import HandClock

CONTENT = random.Random(78).randbytes(1_300_000)
BLOB = Digest.of(CONTENT)
DAY = timedelta(days=1)


@pytest.fixture
def access(bucket_server: BucketServer) -> BucketAccess:
    return new_bucket(bucket_server)


@pytest.fixture
async def proxy(bucket_server: BucketServer) -> AsyncIterator[BucketProxy]:
    async with BucketProxy(bucket_server.url) as opened:
        yield opened


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(folder: Path, access: BucketAccess, proxy: BucketProxy, clock: HandClock) -> AsyncIterator[Store]:
    """A store behind the proxy. A request is not repeated, so that a test decides what each one meets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket_module, "_RETRIES", 0)
        async with bucket_store(folder, through(access, proxy.url), clock=clock) as opened:
            yield opened


async def rows(store: Store) -> tuple[list[str], int]:
    """Return the states of all objects, and the number of doomed ones."""
    states = await store.services.catalog.read(lambda c: c.execute(bucket_objects.select()).all())
    doomed = await store.services.catalog.read(lambda c: c.execute(doomed_objects.select()).all())
    return sorted(row.state for row in states), len(doomed)


async def collect(store: Store, clock: HandClock, grace: timedelta = timedelta(0)) -> None:
    """Decide every review now, and delete what was doomed longer ago than ``grace``."""
    rules = CollectionRules(Grace.everywhere(timedelta(0)))
    clock.advance(seconds=1)  # a run begins later than what it decides
    await Collector(store.records.reviews, rules, store.uploads.repositories, clock).collect_now()
    await store.records.reviews.remove_bytes(grace, 100)


async def examine(store: Store, digest: Digest) -> ExaminationResult:
    found = await store.records.damage.find_stored(digest)
    assert found is not None

    async def read(_size_bytes: int) -> None:
        """Do not wait."""

    return await store.records.damage.examine(found, read)


# Writes


async def test_content_is_in_the_bucket_before_it_is_acknowledged(store: Store, folder: Path) -> None:
    await push_blob(store, CONTENT)
    (held,) = await objects_of(store)
    assert held.size_bytes == len(CONTENT)
    assert held.key.startswith(f"blobs/sha256/{BLOB.hex[:2]}/{BLOB.hex}/")
    assert await rows(store) == (["stored"], 0)
    drop_cache(folder)
    assert await read_blob(store, BLOB) == CONTENT


async def test_known_content_is_not_written_again(store: Store, proxy: BucketProxy) -> None:
    await push_blob(store, CONTENT)
    written = proxy.count("PUT")
    await push_blob(store, CONTENT, OTHER)
    await push_blob(store, CONTENT)
    assert proxy.count("PUT") == written


async def test_of_two_objects_with_the_same_content_one_is_doomed(store: Store, clock: HandClock) -> None:
    await asyncio.gather(*(push_blob(store, CONTENT) for _ in range(4)))
    states, doomed = await rows(store)
    assert states == ["stored"]
    assert len(await objects_of(store)) == 1 + doomed
    await collect(store, clock)  # nothing holds the blob, so that all objects go
    assert await objects_of(store) == []
    assert await rows(store) == ([], 0)


@pytest.mark.parametrize("fault", [Fault.GONE, Fault.SLOW_DOWN], ids=lambda fault: fault.value)
async def test_a_push_fails_while_the_bucket_is_gone_and_succeeds_later(
    store: Store, proxy: BucketProxy, clock: HandClock, folder: Path, fault: Fault
) -> None:
    await push_image(store, "before", "v1")
    proxy.break_all(fault)
    with pytest.raises(BucketUnreachable):
        await push_blob(store, CONTENT)
    with pytest.raises(BlobUnknown):
        await store.stat_blob(REPOSITORY, BLOB)
    assert (await store.get_manifest(REPOSITORY, Tag("v1"))).blobs  # cached content is served on
    proxy.break_all(None)
    await push_blob(store, CONTENT)
    drop_cache(folder)
    assert await read_blob(store, BLOB) == CONTENT
    # The intent of the failed push is left, until its process must have died.
    assert (await rows(store))[0].count("writing") == 1
    clock.advance(days=1, seconds=1)
    await collect(store, clock)
    assert "writing" not in (await rows(store))[0]


async def test_content_that_is_collected_during_its_push_is_written_again(
    store: Store, clock: HandClock, folder: Path
) -> None:
    """The push finds the object, and the collection dooms it before the push needs it."""
    await push_blob(store, CONTENT)
    assert store.objects is not None
    put, keys = store.objects.put, []

    async def put_then_collect(digest: Digest, file: Path, size_bytes: int) -> str:
        keys.append(await put(digest, file, size_bytes))
        if len(keys) == 1:
            await collect(store, clock)
        return keys[-1]

    store.objects.put = put_then_collect  # type: ignore[method-assign]
    await push_blob(store, CONTENT, OTHER)
    assert len(set(keys)) == 2
    drop_cache(folder)
    assert await read_blob(store, BLOB, OTHER) == CONTENT


# Deletions


async def test_an_object_is_deleted_after_its_grace(store: Store, clock: HandClock) -> None:
    await push_blob(store, CONTENT)
    rules = CollectionRules(Grace.everywhere(DAY))
    collector = Collector(store.records.reviews, rules, store.uploads.repositories, clock)
    clock.advance(days=1, minutes=1)
    await collector.collect()
    assert await rows(store) == ([], 1)
    assert len(await objects_of(store)) == 1
    clock.advance(days=1, minutes=1)
    await collector.collect()
    assert await rows(store) == ([], 0)
    assert await objects_of(store) == []


async def test_a_late_deletion_does_not_hit_content_that_was_pushed_again(
    store: Store, proxy: BucketProxy, clock: HandClock, folder: Path
) -> None:
    """Condemned, pushed again, and the deletion of the first object arrives last."""
    await push_blob(store, CONTENT)
    (first,) = await objects_of(store)
    proxy.fault = lambda method, _path: Fault.GONE if method == "DELETE" else None
    await collect(store, clock)
    assert await rows(store) == ([], 1)
    await push_blob(store, CONTENT)
    assert len(await objects_of(store)) == 2
    proxy.break_all(None)
    await store.records.reviews.remove_bytes(timedelta(0), 100)
    (second,) = await objects_of(store)
    assert second.key != first.key
    drop_cache(folder)
    assert await read_blob(store, BLOB) == CONTENT


# Crashes


async def _push_and_die(folder: Path, access: BucketAccess, moment: str) -> None:
    """Push a blob, and die at a moment."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async with bucket_store(folder, access) as store:
        assert store.objects is not None
        if moment == "before the object":
            store.objects.bucket.put_file = die  # type: ignore[method-assign,assignment]
        elif moment == "before the row":
            store.objects.use = die  # type: ignore[method-assign]
        elif moment == "before the commit":
            store.services.blobs.adopt = die  # type: ignore[method-assign]
        await push_blob(store, CONTENT)
        print("acknowledged", flush=True)
        die()


@pytest.mark.parametrize("moment", ["before the object", "before the row", "before the commit", "after all"])
async def test_a_process_that_dies_leaves_nothing_half_visible(
    folder: Path, access: BucketAccess, clock: HandClock, moment: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.unit.store.test_bucket_content", str(folder), moment),
        *(access.name, access.prefix, access.endpoint),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    told, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (b"acknowledged" in told) == (moment == "after all")
    clock.time = datetime.now(UTC) + 3 * DAY
    async with bucket_store(folder, access, clock=clock) as store:
        if moment == "after all":
            drop_cache(folder)
            assert await read_blob(store, BLOB) == CONTENT
        else:
            with pytest.raises(BlobUnknown):
                await store.stat_blob(REPOSITORY, BLOB)
            await push_blob(store, CONTENT)
        await store.uploads.expire(timedelta(days=-1))
        await collect(store, clock)  # nothing is left that no row names
        assert await objects_of(store) == []
        assert await rows(store) == ([], 0)


# Reads


@pytest.fixture(params=["whole", "shared"])
async def reading(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[Store]:
    """A store that reads as a command does, and as a server does."""
    if request.param == "whole":
        yield store
        return
    async with reading_cold(store):
        yield store


async def test_what_the_cache_lacks_is_read_from_the_bucket(reading: Store, folder: Path) -> None:
    image = await push_image(reading, "cold", "v1")
    blobs = [await read_blob(reading, child.digest) for child in image.blobs]
    drop_cache(folder)
    async with bucket_store(folder, reading.objects.bucket.access) as other:  # without anything in memory
        assert (await other.get_manifest(REPOSITORY, Tag("v1"))).content == image.content
        assert [await read_blob(other, child.digest) for child in image.blobs] == blobs
    assert len(cached(folder)) == 3


async def test_a_range_of_a_cold_blob(reading: Store, folder: Path) -> None:
    await push_blob(reading, CONTENT)
    drop_cache(folder)
    assert await read_blob(reading, BLOB, part=RangeRequest(1_000_000, 1_000_999)) == CONTENT[1_000_000:1_001_000]
    assert await read_blob(reading, BLOB, part=RangeRequest(None, 7)) == CONTENT[-7:]


async def test_sixteen_readers_cost_one_download(store: Store, proxy: BucketProxy, folder: Path) -> None:
    await push_blob(store, CONTENT)
    drop_cache(folder)
    async with reading_cold(store), asyncio.TaskGroup() as tasks:
        before = proxy.sent_bytes
        readers = [tasks.create_task(read_blob(store, BLOB)) for _ in range(16)]
    assert {reader.result() for reader in readers} == {CONTENT}
    assert proxy.sent_bytes - before == len(CONTENT)
    assert [file.read_bytes() for file in cached(folder)] == [CONTENT]


async def test_a_download_goes_on_where_the_connection_broke(store: Store, proxy: BucketProxy, folder: Path) -> None:
    await push_blob(store, CONTENT)
    drop_cache(folder)
    faults = [Fault.TRUNCATED, Fault.GONE]
    proxy.fault = lambda method, _path: faults.pop(0) if method == "GET" and faults else None
    before = proxy.sent_bytes
    async with reading_cold(store):
        assert await read_blob(store, BLOB) == CONTENT
    assert faults == []
    assert proxy.sent_bytes - before < 1.1 * len(CONTENT)


async def test_a_cold_blob_while_the_bucket_is_gone(reading: Store, proxy: BucketProxy, folder: Path) -> None:
    warm = await push_blob(reading, b"warm")
    await push_blob(reading, CONTENT)
    next(file for file in cached(folder) if file.name == BLOB.hex).unlink()
    proxy.break_all(Fault.GONE)
    with pytest.raises(BucketUnreachable):
        await read_blob(reading, BLOB)
    assert await read_blob(reading, warm.digest) == b"warm"
    proxy.break_all(None)
    assert await read_blob(reading, BLOB) == CONTENT


# Damage


async def test_a_file_that_gave_way_is_no_damage(store: Store, folder: Path) -> None:
    image = await push_image(store, "cold", "v1")
    drop_cache(folder)
    for digest in (image.digest, image.blobs[0].digest):
        assert await examine(store, digest) is ExaminationResult.WHOLE
    assert await store.records.damage.damaged() == []


async def test_a_damaged_file_of_the_cache_is_dropped(store: Store, folder: Path) -> None:
    await push_blob(store, CONTENT)
    cached(folder)[0].write_bytes(CONTENT[:-1] + b"?")
    assert await examine(store, BLOB) is ExaminationResult.CORRECTED
    assert cached(folder) == []
    assert await read_blob(store, BLOB) == CONTENT


@pytest.mark.parametrize("content", [None, CONTENT[:-1], CONTENT[:-1] + b"?"], ids=["missing", "short", "wrong"])
async def test_a_damaged_object_is_told_and_replaced_by_a_push(
    reading: Store, folder: Path, content: bytes | None
) -> None:
    await push_blob(reading, CONTENT)
    drop_cache(folder)
    (held,) = await objects_of(reading)
    bucket = reading.objects.bucket
    await (bucket.delete(held.key) if content is None else bucket.put(held.key, content))
    with pytest.raises((StorageDamaged, UpstreamProtocolError)):  # the second one breaks off an answer
        await read_blob(reading, BLOB)
    assert list(reading.records.damage.take_suspects()) == [BLOB]
    assert await examine(reading, BLOB) is ExaminationResult.DAMAGED
    with pytest.raises(BlobUnknown, match="is damaged here"):
        await read_blob(reading, BLOB)
    await push_blob(reading, CONTENT)
    drop_cache(folder)
    assert await read_blob(reading, BLOB) == CONTENT


async def test_whole_content_without_an_object_is_written_to_the_bucket(store: Store, folder: Path) -> None:
    await push_blob(store, CONTENT)
    catalog = store.services.catalog
    await catalog.write_uncached(lambda connection: connection.execute(bucket_objects.delete()))
    assert await examine(store, BLOB) is ExaminationResult.WHOLE
    drop_cache(folder)
    assert await read_blob(store, BLOB) == CONTENT


async def test_a_list_of_the_bucket_tells_strays_and_what_is_missing(
    store: Store, folder: Path, clock: HandClock
) -> None:
    for content in (CONTENT, b"second", b"third"):
        await push_blob(store, content)
    bucket, catalog = store.objects.bucket, store.services.catalog
    await bucket.put("blobs/sha256/ab/abcd/stray", b"stray")
    held = {each.size_bytes: each.key for each in await objects_of(store)}
    await bucket.delete(held[len(CONTENT)])
    await bucket.put(held[len(b"second")], b"sec")
    now = datetime.now(UTC)
    assert (await compare(catalog, bucket, now)).strays == []  # it may be on its way into the catalog
    found = await compare(catalog, bucket, now + 2 * DAY)
    assert [stray.key for stray in found.strays] == ["blobs/sha256/ab/abcd/stray"]
    assert {stored.digest: problem for stored, problem in found.wrong} == {
        BLOB: "the object is missing from the bucket",
        Digest.of(b"second"): "the object in the bucket has 3 bytes, not 6",
    }
    assert set(await doom_wrong(catalog, found, clock.now())) == {BLOB, Digest.of(b"second")}
    assert await examine(store, BLOB) is ExaminationResult.WHOLE  # its file is whole, and is written again
    drop_cache(folder)
    assert await read_blob(store, BLOB) == CONTENT
    assert await examine(store, Digest.of(b"second")) is ExaminationResult.DAMAGED


# Budget


async def test_what_was_read_least_recently_gives_way(folder: Path, access: BucketAccess) -> None:
    contents = [random.Random(number).randbytes(400_000) for number in range(4)]
    async with bucket_store(folder, access, cache_limit_bytes=1_000_000) as store:
        for number, content in enumerate(contents):
            await push_blob(store, content)
            os.utime(folder / "blobs/sha256" / Digest.of(content).hex[:2] / Digest.of(content).hex, (number, number))
        await read_blob(store, Digest.of(contents[0]))  # notes its use
        assert store.cache_budget is not None
        await store.cache_budget.keep_within()
        assert store.cache_budget.used_bytes <= 1_000_000
        left = {file.name for file in cached(folder)}
        assert Digest.of(contents[0]).hex in left
        assert [await read_blob(store, Digest.of(each)) for each in contents] == contents


async def test_a_file_without_an_object_never_gives_way(folder: Path, access: BucketAccess) -> None:
    async with bucket_store(folder, access, cache_limit_bytes=1) as store:
        await push_blob(store, CONTENT)
        catalog = store.services.catalog
        await catalog.write_uncached(lambda connection: connection.execute(bucket_objects.delete()))
        assert store.cache_budget is not None
        await store.cache_budget.keep_within()
        assert await read_blob(store, BLOB) == CONTENT


async def test_a_reader_reads_on_when_its_file_gives_way(store: Store, folder: Path) -> None:
    await push_blob(store, CONTENT)
    async with store.open_blob(REPOSITORY, BLOB) as blob:
        drop_cache(folder)
        assert b"".join([chunk async for chunk in blob]) == CONTENT


# Guards


async def opened(folder: Path, access: BucketAccess | None) -> None:
    """Open a store, and check its bucket as a server does."""
    async with Store.open(folder, bucket=None if access is None else Bucket(access)) as store:
        if store.objects is not None:
            await store.objects.require_site()


@pytest.fixture
async def used(folder: Path, access: BucketAccess) -> Path:
    """A data folder with content in the bucket."""
    async with bucket_store(folder, access) as store:
        await push_blob(store, CONTENT)
    return folder


async def test_the_bucket_of_another_site_is_refused(used: Path, access: BucketAccess, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"belongs to site .*; fix: use another prefix"):
        await opened(tmp_path / "second", access)
    async with bucket_store(tmp_path / "second", access) as store:
        with pytest.raises(ConfigurationFault, match="belongs to site"):
            await push_blob(store, CONTENT)


async def test_another_bucket_is_refused(used: Path, bucket_server: BucketServer) -> None:
    with pytest.raises(ConfigurationFault, match="catalog has content in a bucket; fix: "):
        await opened(used, new_bucket(bucket_server))


async def test_a_bucket_with_blobs_of_nobody_is_refused(folder: Path, access: BucketAccess) -> None:
    await Bucket(access).put("blobs/sha256/ab/abcd/1", b"content")
    with pytest.raises(ConfigurationFault, match="objects such as blobs/sha256/ab/abcd/1; fix: "):
        await opened(folder, access)


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        (b"no json", "has not written; fix: "),
        (b"[]", "has not written; fix: "),
        (b'{"format": 2, "site": "x"}', "has format 2, and this version knows format 1; fix: "),
    ],
)
async def test_a_bucket_of_another_program_is_refused(
    folder: Path, access: BucketAccess, marker: bytes, told: str
) -> None:
    await Bucket(access).put("plugin-mirror.json", marker)
    with pytest.raises(ConfigurationFault, match=told):
        await opened(folder, access)


async def test_a_data_folder_with_content_of_its_own_is_refused(folder: Path, access: BucketAccess) -> None:
    async with Store.open(folder) as store:
        await push_blob(store, CONTENT)
    with pytest.raises(ConfigurationFault, match=r"is on its disk, and storage.blobs wants it in a bucket; fix: "):
        await opened(folder, access)


async def test_a_data_folder_without_its_bucket_is_refused(used: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"storage.blobs is not configured; fix: configure it"):
        await opened(used, None)


async def test_two_processes_begin_with_an_empty_bucket(folder: Path, access: BucketAccess) -> None:
    await asyncio.gather(opened(folder, access), opened(folder, access))


if __name__ == "__main__":
    from tests.harness.bucket_server import ACCESS_KEY_ID, SECRET_KEY

    path, when, name, prefix, endpoint = sys.argv[1:]
    place = BucketAccess(name, prefix, endpoint, "us-east-1", ACCESS_KEY_ID, SECRET_KEY)
    asyncio.run(_push_and_die(Path(path), place, when))
