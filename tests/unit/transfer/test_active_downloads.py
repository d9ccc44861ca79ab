"""Downloads. Two open stores on one folder behave as two processes: they share nothing but the folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mirror.oci import Digest, Repository
from mirror.oci.errors import (
    BlobUnknown,
    Busy,
    MirrorError,
    StorageFull,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamUnreachable,
)
from mirror.registry.port import Growing
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.store.content.kept_free import KeptFree
from mirror.store.registry import Store
from mirror.transfer import active_downloads
from mirror.transfer.active_downloads import ActiveDownloads
from mirror.transfer.blob_request import BlobRequest, MakeRoom, Source
from mirror.transfer.download_progress import HELD_BACK_BYTES
from mirror.wire.ranges import RangeRequest
from tests.support.builders import hold, push_blob
from tests.support.pull_through import PIECE_BYTES, QUICK, ScriptedUpstream, content, raised, read
from tests.support.waiting import until
from tests.unit.transfer.told import Told

NAME, OTHER = Repository("a/plugin"), Repository("b/plugin")
BLOB = content(1, 400_000)[:400_000]
DIGEST = Digest.of(BLOB)


class Process:
    """The open parts of one process."""

    def __init__(self, store: Store, downloads: ActiveDownloads, told: Told, tasks: BackgroundTasks) -> None:
        self.store = store
        self.downloads = downloads
        self.told = told
        self._tasks = tasks

    def reading(self, wanted: BlobRequest, part: RangeRequest | None = None) -> asyncio.Task[bytes]:
        return asyncio.create_task(read(self.downloads.open(wanted, part)))

    async def idle(self) -> None:
        await until(lambda: not self.downloads.count)


@asynccontextmanager
async def process(folder: Path, *, finish: bool = True) -> AsyncIterator[Process]:
    told = Told()
    async with Store.open(folder) as store, BackgroundTasks() as tasks:
        downloads = ActiveDownloads(store, store.downloads, tasks, told, told.note, finish=finish, retry=QUICK)
        yield Process(store, downloads, told, tasks)


@pytest.fixture
async def hub() -> ScriptedUpstream:
    upstream = ScriptedUpstream()
    for name in (NAME, OTHER):
        await hold(upstream, name, [BLOB], [])
    return upstream


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Process]:
    before = asyncio.all_tasks()
    async with process(tmp_path / "data") as opened:
        yield opened
    assert asyncio.all_tasks() <= before | {asyncio.current_task()}


@pytest.fixture
async def two(one: Process, tmp_path: Path) -> AsyncIterator[Process]:
    async with process(tmp_path / "data") as opened:
        yield opened


def wanted(hub: ScriptedUpstream, name: Repository = NAME, size_bytes: int = len(BLOB)) -> BlobRequest:
    return BlobRequest(name, DIGEST, size_bytes, (Source("hub", hub, NAME),))


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]


class TestReaders:
    async def test_all_get_the_whole_of_one_download(self, one: Process, hub: ScriptedUpstream) -> None:
        readers = [one.reading(wanted(hub)) for _ in range(16)]
        assert {Digest.of(each) for each in await asyncio.gather(*readers)} == {DIGEST}
        await one.idle()
        assert (hub.sent_bytes, one.told.received_bytes, one.told.stored) == (len(BLOB), len(BLOB), [NAME])
        assert await read(one.store.open_blob(NAME, DIGEST)) == BLOB
        assert not claims(one)

    async def test_are_given_what_has_come_but_never_the_end_before_its_time(
        self, one: Process, hub: ScriptedUpstream
    ) -> None:
        hub.limit = len(BLOB) - PIECE_BYTES  # the last piece does not come
        async with one.downloads.open(wanted(hub)) as blob:
            assert isinstance(blob, Growing)
            seen = 0
            while seen < len(BLOB) - HELD_BACK_BYTES:
                seen = await blob.available(seen)
            waiting = asyncio.create_task(blob.available(seen))
            await until(lambda: received_bytes(one) >= len(BLOB) - PIECE_BYTES)
            assert not waiting.done()
            hub.limit = None
            assert await waiting == len(BLOB)

    async def test_are_given_the_first_bytes_at_once(self, one: Process, hub: ScriptedUpstream) -> None:
        hub.limit = 1
        async with one.downloads.open(wanted(hub)) as blob:
            assert isinstance(blob, Growing)
            assert 0 < await blob.available(0) < HELD_BACK_BYTES
            hub.limit = None

    async def test_may_want_a_part(self, one: Process, hub: ScriptedUpstream) -> None:
        hub.limit = 200_000
        early = one.reading(wanted(hub), RangeRequest(10, 19))
        late = one.reading(wanted(hub), RangeRequest(None, 10))
        assert await early == BLOB[10:20]
        assert not late.done()
        hub.limit = None
        assert await late == BLOB[-10:]
        await one.idle()
        assert hub.sent_bytes == len(BLOB)

    async def test_may_leave_and_the_download_goes_on(self, one: Process, hub: ScriptedUpstream) -> None:
        hub.limit = 100_000
        leaving = one.reading(wanted(hub))
        await until(lambda: hub.sent_bytes >= 100_000)
        leaving.cancel()
        hub.limit = None
        await one.idle()
        assert (await one.store.stat_blob(NAME, DIGEST)).size_bytes == len(BLOB)

    async def test_take_a_download_with_them_where_that_is_wished(self, tmp_path: Path, hub: ScriptedUpstream) -> None:
        async with process(tmp_path / "data", finish=False) as one:
            hub.limit = 100_000
            readers = [one.reading(wanted(hub)) for _ in range(2)]
            await until(lambda: hub.sent_bytes >= 100_000)
            readers[0].cancel()
            await asyncio.wait([readers[0]])
            hub.limit = 150_000
            await until(lambda: hub.sent_bytes >= 150_000)
            assert one.downloads.count == 1
            readers[1].cancel()
            await one.idle()
            hub.limit = None
            assert await one.reading(wanted(hub)) == BLOB
            await one.idle()
            assert hub.sent_bytes < len(BLOB) + 40_000, "what had come was kept"
            assert one.told.stored == [NAME], "what had come wholly was stored, although nobody waited for that"

    async def test_are_told_of_another_size(self, one: Process, hub: ScriptedUpstream) -> None:
        hub.limit = 100_000
        right = one.reading(wanted(hub))
        await until(lambda: hub.sent_bytes)
        assert isinstance(await raised(one.reading(wanted(hub, size_bytes=7))), UpstreamProtocolError)
        hub.limit = None
        assert await right == BLOB

    async def test_are_told_when_it_is_stopped(self, tmp_path: Path, hub: ScriptedUpstream) -> None:
        async with process(tmp_path / "data") as one:
            hub.limit = 100_000
            reader = one.reading(wanted(hub))
            await until(lambda: hub.sent_bytes >= 100_000)
        assert isinstance(await raised(reader), Busy)


class TestFailures:
    async def test_a_break_is_gone_on_from(self, one: Process, hub: ScriptedUpstream) -> None:
        hub.breaks_at = {100_000: UpstreamUnreachable("cable"), 200_000: UpstreamBusy("503")}
        assert await one.reading(wanted(hub)) == BLOB
        assert hub.sent_bytes == len(BLOB)
        assert one.told.failures == [("hub", "UpstreamUnreachable"), ("hub", "UpstreamBusy")]

    async def test_an_upstream_that_stays_away_is_given_up_and_what_came_is_kept(
        self, one: Process, hub: ScriptedUpstream
    ) -> None:
        hub.limit = 200_000
        reader = one.reading(wanted(hub))
        await until(lambda: hub.sent_bytes >= 200_000)
        hub.failure = UpstreamUnreachable("gone")
        hub.breaks_at[0] = UpstreamUnreachable("gone")
        hub.limit = None
        assert isinstance(await raised(reader), UpstreamUnreachable)
        await one.idle()
        hub.failure = None
        assert await one.reading(wanted(hub)) == BLOB
        assert hub.sent_bytes < len(BLOB) + 40_000

    async def test_one_that_never_answered_is_told_at_once(self, one: Process, hub: ScriptedUpstream) -> None:
        hub.failure = UpstreamUnreachable("gone")
        readers = [one.reading(wanted(hub)) for _ in range(8)]
        for reader in readers:
            assert isinstance(await raised(reader), UpstreamUnreachable)
        assert hub.asked["open_blob"] == 1
        await one.idle()
        assert not claims(one)

    async def test_the_next_source_goes_on_where_the_first_broke_off(self, one: Process, hub: ScriptedUpstream) -> None:
        spare = ScriptedUpstream()
        await hold(spare, NAME, [BLOB], [])
        hub.breaks_at[200_000] = UpstreamUnreachable("cable")
        both = BlobRequest(NAME, DIGEST, len(BLOB), (Source("hub", hub, NAME), Source("spare", spare, NAME)))
        assert await one.reading(both) == BLOB
        assert hub.sent_bytes + spare.sent_bytes == len(BLOB)
        assert spare.sent_bytes > 0

    async def test_wrong_content_breaks_every_reader_and_is_not_kept(self, one: Process, hub: ScriptedUpstream) -> None:
        hub.instead[DIGEST] = BLOB[:-1] + b"#"
        given_bytes = 0

        async def reading() -> None:
            nonlocal given_bytes
            async with one.downloads.open(wanted(hub)) as blob:
                async for chunk in blob:
                    given_bytes += len(chunk)

        for reader in [asyncio.create_task(reading()) for _ in range(4)]:
            assert isinstance(await raised(reader), UpstreamProtocolError)
        assert given_bytes <= 4 * (len(BLOB) - HELD_BACK_BYTES)
        await one.idle()
        assert one.told.failures == [("hub", "UpstreamProtocolError")]
        assert isinstance(await raised(one.store.stat_blob(NAME, DIGEST)), BlobUnknown)
        hub.instead.clear()
        assert await one.reading(wanted(hub)) == BLOB

    async def test_nobody_is_blamed_for_what_an_earlier_download_left(
        self, one: Process, hub: ScriptedUpstream
    ) -> None:
        claim = await one.store.downloads.claim_download(NAME, DIGEST)
        assert claim is not None
        await claim.append(in_pieces(b"#" * 100_000), lambda: None)
        await claim.release()
        assert isinstance(await raised(one.reading(wanted(hub))), Busy)
        assert one.told.failures == []
        assert await one.reading(wanted(hub)) == BLOB

    async def test_what_an_earlier_download_left_whole_is_stored_without_a_question(
        self, one: Process, hub: ScriptedUpstream
    ) -> None:
        claim = await one.store.downloads.claim_download(NAME, DIGEST)
        assert claim is not None
        await claim.append(in_pieces(BLOB), lambda: None)
        await claim.release()
        assert await one.reading(wanted(hub)) == BLOB
        assert hub.asked.total() == 0

    async def test_a_mistake_of_ours_ends_one_download_and_nothing_else(
        self, one: Process, hub: ScriptedUpstream
    ) -> None:
        hub.breaks_at[100_000] = ZeroDivisionError("a mistake")  # type: ignore[assignment]
        assert type(await raised(one.reading(wanted(hub)))) is MirrorError
        assert await one.reading(wanted(hub)) == BLOB

    async def test_without_a_source_it_is_unknown(self, one: Process) -> None:
        error = await raised(one.reading(BlobRequest(NAME, DIGEST, len(BLOB), ())))
        assert isinstance(error, BlobUnknown)


class TestFullDisk:
    """A blob that does not fit. Content that was pulled through before may give way."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        async with Store.open(tmp_path / "data", kept_free=KeptFree(2**60)) as opened:
            yield opened

    @asynccontextmanager
    async def downloads(self, store: Store, make_room: MakeRoom) -> AsyncIterator[ActiveDownloads]:
        async with BackgroundTasks() as tasks:
            told = Told()
            yield ActiveDownloads(store, store.downloads, tasks, told, told.note, retry=QUICK, make_room=make_room)

    async def test_the_blob_is_fetched_once_there_is_room(
        self, store: Store, hub: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wants: list[int] = []

        async def make_room(size_bytes: int) -> bool:
            wants.append(size_bytes)
            monkeypatch.setattr(store.downloads._parts.room, "kept", KeptFree())
            return True

        async with self.downloads(store, make_room) as downloads:
            assert await read(downloads.open(wanted(hub))) == BLOB
        assert wants == [len(BLOB)]

    @pytest.mark.parametrize("is_said", [True, False])
    async def test_without_room_the_blob_is_refused_and_nothing_remains(
        self, store: Store, hub: ScriptedUpstream, tmp_path: Path, is_said: bool
    ) -> None:
        async def make_room(_size_bytes: int) -> bool:
            return is_said

        async with self.downloads(store, make_room) as downloads:
            assert isinstance(await raised(read(downloads.open(wanted(hub)))), StorageFull)
            await until(lambda: not downloads.count)
        assert hub.asked["open_blob"] == 0
        assert list((tmp_path / "data" / "uploads").iterdir()) == []


class TestPlaces:
    """Few blobs are claimed, however many are requested."""

    BLOBS = tuple(b"%d" % number * 1000 for number in range(6))

    @pytest.fixture
    async def crowded(
        self, one: Process, hub: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> list["asyncio.Task[bytes]"]:
        """Readers of more blobs than may be fetched at once, from an upstream that sends no bytes."""
        monkeypatch.setattr(active_downloads, "MOST_FETCHED", 2)
        await hold(hub, NAME, self.BLOBS, [])
        hub.limit = 0
        readers = [one.reading(of(hub, blob)) for blob in self.BLOBS]
        waiting = len(self.BLOBS) - 2
        await until(lambda: len(one.downloads._slots["hub"]._waiters or ()) == waiting)
        await until(lambda: hub.asked["open_blob"] == 2)
        return readers

    async def test_who_waits_claims_nothing_and_has_its_turn(
        self, one: Process, hub: ScriptedUpstream, crowded: list["asyncio.Task[bytes]"]
    ) -> None:
        assert (len(claims(one)), hub.asked["open_blob"]) == (2, 2)
        hub.limit = None
        assert await asyncio.gather(*crowded) == list(self.BLOBS)

    async def test_what_is_here_in_another_repository_waits_for_nobody(
        self, one: Process, hub: ScriptedUpstream, crowded: list["asyncio.Task[bytes]"]
    ) -> None:
        await push_blob(one.store, BLOB, OTHER)
        assert await one.reading(wanted(hub)) == BLOB
        hub.limit = None
        await asyncio.gather(*crowded)

    async def test_another_upstream_waits_for_nobody(
        self, one: Process, hub: ScriptedUpstream, crowded: list["asyncio.Task[bytes]"]
    ) -> None:
        spare = ScriptedUpstream()
        await hold(spare, NAME, [BLOB], [])
        assert await one.reading(BlobRequest(NAME, DIGEST, len(BLOB), (Source("spare", spare, NAME),))) == BLOB
        hub.limit = None
        await asyncio.gather(*crowded)

    async def test_what_nobody_waits_for_any_more_is_not_begun(
        self, one: Process, hub: ScriptedUpstream, crowded: list["asyncio.Task[bytes]"]
    ) -> None:
        fetched = {claim.name for claim in claims(one)}
        names = [f"sha256-{Digest.of(blob).hex}" for blob in self.BLOBS]
        leaving = [reader for name, reader in zip(names, crowded, strict=True) if name not in fetched]
        for reader in leaving:
            reader.cancel()
        await asyncio.wait(leaving)
        hub.limit = None
        await one.idle()
        assert hub.asked["open_blob"] == 2


def of(hub: ScriptedUpstream, blob: bytes) -> BlobRequest:
    return BlobRequest(NAME, Digest.of(blob), len(blob), (Source("hub", hub, NAME),))


def claims(process: Process) -> list[Path]:
    return list(process.store.uploads._layout.uploads.iterdir())


def received_bytes(process: Process) -> int:
    """Return the size of the partial file from which readers of the blob are served."""
    partial = process.downloads._running[DIGEST][0].progress.partial
    return 0 if partial is None else partial.size_bytes


def follows(process: Process) -> bool:
    """Return True if the process follows the download of another process."""
    running = process.downloads._running.get(DIGEST)
    return running is not None and running[0]._watched is not None


class TestTwoProcesses:
    async def test_share_one_download(self, one: Process, two: Process, hub: ScriptedUpstream) -> None:
        hub.limit = 100_000
        first = one.reading(wanted(hub))
        await until(lambda: hub.sent_bytes >= 100_000)
        second = two.reading(wanted(hub, OTHER))
        part = two.reading(wanted(hub, OTHER), RangeRequest(200_000, 200_009))
        await until(lambda: follows(two))
        hub.limit = 300_000
        assert await part == BLOB[200_000:200_010]
        assert not second.done()
        hub.limit = None
        assert await first == BLOB
        assert await second == BLOB
        await two.idle()
        assert hub.sent_bytes == len(BLOB)
        for name in (NAME, OTHER):
            assert await read(two.store.open_blob(name, DIGEST)) == BLOB

    async def test_one_goes_on_where_the_other_ended(self, two: Process, tmp_path: Path, hub: ScriptedUpstream) -> None:
        async with process(tmp_path / "data") as ending:
            hub.limit = 200_000
            first = ending.reading(wanted(hub))
            await until(lambda: hub.sent_bytes >= 100_000)
            second = two.reading(wanted(hub))
            await until(lambda: hub.sent_bytes >= 200_000 and follows(two))
        assert isinstance(await raised(first), Busy)
        hub.limit = None
        assert await second == BLOB
        assert hub.sent_bytes < len(BLOB) + 40_000

    async def test_readers_of_both_break_on_wrong_content(
        self, one: Process, two: Process, hub: ScriptedUpstream
    ) -> None:
        hub.instead[DIGEST] = b"#" + BLOB[1:]
        hub.limit = 100_000
        first = one.reading(wanted(hub))
        await until(lambda: hub.sent_bytes >= 100_000)
        second = two.reading(wanted(hub))
        await until(lambda: follows(two))
        hub.limit = 200_000
        await until(lambda: received_bytes(two))
        hub.limit = None
        assert isinstance(await raised(first), UpstreamProtocolError)
        assert isinstance(await raised(second), MirrorError)
        hub.instead.clear()
        await two.idle()
        assert await two.reading(wanted(hub)) == BLOB

    async def test_what_was_stored_meanwhile_is_not_fetched(
        self, one: Process, two: Process, hub: ScriptedUpstream
    ) -> None:
        assert await one.reading(wanted(hub)) == BLOB
        await one.idle()
        assert await two.reading(wanted(hub, OTHER)) == BLOB
        await two.idle()
        assert hub.sent_bytes == len(BLOB)
        assert await read(two.store.open_blob(OTHER, DIGEST)) == BLOB


async def test_a_source_is_told_the_size_in_the_manifest(tmp_path: Path) -> None:
    """Some registries send blobs without their size."""
    told: list[int | None] = []

    class Unsized(ScriptedUpstream):
        @asynccontextmanager
        async def open_blob(  # type: ignore[no-untyped-def]
            self, repository, digest, part=None, size_bytes=None
        ):
            told.append(size_bytes)
            async with super().open_blob(repository, digest, part) as blob:
                yield blob

    hub = Unsized()
    await hold(hub, NAME, [BLOB], [])
    async with process(tmp_path / "data") as here:
        request = BlobRequest(NAME, DIGEST, len(BLOB), (Source("hub", hub, NAME),))
        assert await here.reading(request) == BLOB
    assert told == [len(BLOB)]
