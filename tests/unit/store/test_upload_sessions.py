import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mirror.oci import Digest, Repository
from mirror.oci.errors import ContentTooLarge, TooManyRequests, UploadUnknown
from mirror.registry.streams import single_chunk
from mirror.store.registry import Store
from mirror.store.uploads.session_limits import SessionLimits
from mirror.store.uploads.upload_sessions import UploadSessions
from mirror.store.uploads.upload_writer import UploadWriter
from tests.support.builders import REPOSITORY, in_chunks, push_image, read_blob
from tests.support.clocks import ShiftedClock
from tests.unit.store.disks import blob_files, upload_files

CONTENT = random.Random(5).randbytes(3_500_000)
DIGEST = Digest.of(CONTENT)
DAY = timedelta(days=1)


async def broken_off(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise ConnectionResetError


async def begin_and_break_off(store: Store, content: bytes) -> str:
    upload = await store.begin_upload(REPOSITORY)
    with pytest.raises(ConnectionResetError):
        await upload.append(broken_off(content))
    return upload.id


async def test_an_upload_of_an_earlier_version_that_was_to_get_a_digest_expires(folder: Path) -> None:
    clock = ShiftedClock()
    left = folder / "uploads" / f"0123456789abcdef-{uuid4()}"
    async with Store.open(folder, clock=clock):
        left.mkdir()
    (left / "data").write_bytes(CONTENT[:1_000])
    session = {"repository": REPOSITORY.name, "begun": clock.now().isoformat(), "expected": str(DIGEST)}
    (left / "session.json").write_text(json.dumps(session))

    async with Store.open(folder, clock=clock, session_limits=SessionLimits(per_client=1, in_all=1)) as store:
        with pytest.raises(UploadUnknown):
            await store.resume_upload(REPOSITORY, left.name)
        await (await store.begin_upload(REPOSITORY, client="192.0.2.1")).cancel()  # it is not counted
        assert await store.uploads.expire(DAY) == 0
        clock.advance(days=2)
        assert await store.uploads.expire(DAY) == 1
    assert upload_files(folder) == []


async def test_an_upload_that_an_earlier_version_began_is_gone_on_with(folder: Path, store: Store) -> None:
    begun = await begin_and_break_off(store, CONTENT[:1_000])
    session = {"repository": REPOSITORY.name, "begun": "2026-11-24T20:48:18+00:00", "expected": None}
    (folder / "uploads" / begun / "session.json").write_text(json.dumps(session))

    upload = await store.resume_upload(REPOSITORY, begun)
    await upload.append(single_chunk(CONTENT[upload.offset :]))
    await upload.commit(DIGEST)

    assert await read_blob(store, DIGEST) == CONTENT


@pytest.mark.parametrize("order", ["010011", "001111", "011111", "000001"])
async def test_an_upload_is_continued_by_another_process(folder: Path, order: str) -> None:
    async with Store.open(folder) as one_store, Store.open(folder) as other:
        upload = await one_store.begin_upload(REPOSITORY)
        for number, store in enumerate((one_store, other)[int(which)] for which in order):
            part = CONTENT[number * 600_000 : (number + 1) * 600_000]
            upload = await store.resume_upload(REPOSITORY, upload.id)
            await upload.append(in_chunks(part, 64_000))
        await (await one_store.resume_upload(REPOSITORY, upload.id)).commit(DIGEST)

        assert await read_blob(other, DIGEST) == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_what_one_process_received_whole_is_not_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    digest = Digest.of(CONTENT, algorithm)
    upload = await store.begin_upload(REPOSITORY, algorithm=algorithm)
    for start in range(0, len(CONTENT), 900_000):
        await upload.append(single_chunk(CONTENT[start : start + 900_000]))
        upload = await store.resume_upload(REPOSITORY, upload.id)
    monkeypatch.delattr(UploadWriter, "hash_on")

    await upload.commit(digest)

    assert await read_blob(store, digest) == CONTENT


@pytest.mark.parametrize("chunk_bytes", [1_000, 2_000_000])
async def test_a_blob_over_the_limit(folder: Path, chunk_bytes: int) -> None:
    async with Store.open(folder, max_blob_bytes=3_000_000) as store:
        upload = await store.begin_upload(REPOSITORY)
        await upload.append(single_chunk(CONTENT[:1_200_000]))

        with pytest.raises(ContentTooLarge):
            await upload.append(in_chunks(CONTENT[1_200_000:], chunk_bytes))

        assert upload.offset == (await store.resume_upload(REPOSITORY, upload.id)).offset == 1_200_000
        await upload.append(in_chunks(CONTENT[1_200_000:3_000_000], chunk_bytes))
        await upload.commit(Digest.of(CONTENT[:3_000_000]))


async def test_the_stream_is_closed_where_it_is_not_read_to_its_end(folder: Path) -> None:
    closed = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1_000)
        finally:
            closed.append(True)

    async with Store.open(folder, max_blob_bytes=10_000) as store:
        upload = await store.begin_upload(REPOSITORY)
        with pytest.raises(ContentTooLarge):
            await upload.append(endless())
    assert closed == [True]


async def test_uploads_expire(folder: Path) -> None:
    clock = ShiftedClock()
    async with Store.open(folder, clock=clock) as store:
        idle = await begin_and_break_off(store, CONTENT[:1_000])
        lease = await store.downloads.claim_download(REPOSITORY, DIGEST)
        assert lease is not None
        await lease.append(single_chunk(CONTENT[:1_000]), lambda: None)
        assert await store.uploads.expire(DAY) == 0

        clock.advance(days=2)
        assert await store.uploads.expire(DAY) == 1

        with pytest.raises(UploadUnknown):
            await store.resume_upload(REPOSITORY, idle)
        await lease.append(single_chunk(CONTENT[1_000:]), lambda: None)
        await lease.verify()
        await lease.commit()
        await lease.release()
    assert upload_files(folder) == []


@pytest.mark.parametrize("days", [365, -365])
async def test_uploads_survive_a_jump_of_the_clock(folder: Path, days: int) -> None:
    clock = ShiftedClock()
    async with Store.open(folder, clock=clock) as store:
        idle = await begin_and_break_off(store, CONTENT[:1_000])
        clock.set(days=days)
        assert await store.uploads.expire(DAY) == 0
        clock.advance(days=0.5)
        assert await store.uploads.expire(DAY) == 0
        assert (await store.resume_upload(REPOSITORY, idle)).offset == 1_000
        clock.advance(days=1)
        assert await store.uploads.expire(DAY) == 1


async def test_an_upload_of_a_future_time_expires_too(folder: Path) -> None:
    async with Store.open(folder) as store:
        await begin_and_break_off(store, CONTENT[:1_000])
    clock = ShiftedClock()
    clock.set(days=-365)
    async with Store.open(folder, clock=clock) as store:
        assert await store.uploads.expire(DAY) == 0
        clock.advance(days=1.5)
        assert await store.uploads.expire(DAY) == 1


async def test_an_upload_that_holds_nothing_expires_sooner(folder: Path) -> None:
    clock = ShiftedClock()
    async with Store.open(folder, clock=clock) as store:
        empty = await store.begin_upload(REPOSITORY)
        begun = await begin_and_break_off(store, CONTENT[:1])
        clock.advance(days=0.5)

        assert await store.uploads.expire(DAY, DAY) == 0
        assert await store.uploads.expire(DAY, DAY / 4) == 1

        with pytest.raises(UploadUnknown):
            await store.resume_upload(REPOSITORY, empty.id)
        assert (await store.resume_upload(REPOSITORY, begun)).offset == 1


async def test_an_empty_upload_that_is_being_written_to_does_not_expire(store: Store) -> None:
    expired = []

    async def slow() -> AsyncIterator[bytes]:
        expired.append(await store.uploads.expire(DAY, -DAY))
        yield b"first"

    await (await store.begin_upload(REPOSITORY)).append(slow())

    assert expired == [0]


async def test_expiry_goes_in_short_steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.store.uploads.upload_sessions._STEP", 2)
    steps: list[int] = []
    step = UploadSessions._expire

    def counted(uploads: UploadSessions, names: list[str], age: Any) -> int:
        steps.append(len(names))
        return step(uploads, names, age)

    monkeypatch.setattr(UploadSessions, "_expire", counted)
    async with Store.open(folder) as store:
        for _ in range(5):
            await store.begin_upload(REPOSITORY)
        assert await store.uploads.expire(-DAY) == 5
    assert steps == [2, 2, 1]


async def test_a_client_may_have_so_many_uploads_open_whichever_process_it_asks(folder: Path) -> None:
    limits = SessionLimits(per_client=2, in_all=100)
    async with Store.open(folder, session_limits=limits) as store, Store.open(folder, session_limits=limits) as other:
        await store.begin_upload(REPOSITORY, client="192.0.2.1")
        await other.begin_upload(Repository("another"), client="192.0.2.1")
        for one_store in (store, other):
            with pytest.raises(TooManyRequests, match=r"upload_sessions_per_client") as refused:
                await one_store.begin_upload(REPOSITORY, client="192.0.2.1")
            assert refused.value.detail["retry_after_seconds"] == "60"
            await one_store.begin_upload(REPOSITORY, client="192.0.2.2")
        assert len(upload_files(folder)) == 4 * 3  # a folder and two files

    async with Store.open(folder, session_limits=limits) as store:  # and a restart forgets nothing
        with pytest.raises(TooManyRequests):
            await store.begin_upload(REPOSITORY, client="192.0.2.1")


async def test_what_is_open_in_all_keeps_clients_from_more_but_not_us(folder: Path) -> None:
    async with Store.open(folder, session_limits=SessionLimits(per_client=2, in_all=3)) as store:
        for client in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            await store.begin_upload(REPOSITORY, client=client)
        with pytest.raises(TooManyRequests, match=r"server\.limits\.upload_sessions$"):
            await store.begin_upload(REPOSITORY, client="192.0.2.4")
        assert (await store.begin_upload(REPOSITORY)).offset == 0


async def test_what_is_being_written_does_not_expire(store: Store) -> None:
    expired = []

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        expired.append(await store.uploads.expire(-DAY))
        yield b" last"

    upload = await store.begin_upload(REPOSITORY)
    await upload.append(slow())
    await upload.commit(Digest.of(b"first last"))

    assert expired == [0]


async def test_what_crashes_have_left_expires(folder: Path, store: Store) -> None:
    uploads = folder / "uploads"
    (uploads / ("a" * 32)).mkdir()
    (uploads / ("b" * 32)).mkdir()
    (uploads / ("b" * 32) / "data").write_bytes(b"no session")
    (uploads / ("c" * 32)).mkdir()
    (uploads / ("c" * 32) / "session.json").write_bytes(b"no data, no sense")
    (uploads / ("d" * 32 + ".manifest")).write_bytes(b"{")
    for name in "abcd":
        with pytest.raises(UploadUnknown):
            await store.resume_upload(REPOSITORY, name * 32)
    assert await store.uploads.expire(DAY) == 0

    assert await store.uploads.expire(-DAY) == 4

    assert upload_files(folder) == []


async def test_nothing_remains_of_what_has_ended(folder: Path, store: Store) -> None:
    await push_image(store, "image", "latest")
    cancelled = await store.begin_upload(REPOSITORY)
    await cancelled.append(single_chunk(b"unwanted"))
    await cancelled.cancel()

    assert upload_files(folder) == []
    assert len(blob_files(folder)) == 3


async def test_a_cancelled_push_of_a_manifest_leaves_no_file(folder: Path, store: Store) -> None:
    image = await push_image(store, "image")
    for delay in range(12):
        task = asyncio.create_task(store.put_manifest(REPOSITORY, image))
        await asyncio.sleep(delay / 2000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert upload_files(folder) == []
    assert await store.get_manifest(REPOSITORY, image.digest) == image
