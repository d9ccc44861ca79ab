"""Pushes within quotas, on a real store."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from mirror.oci import Digest, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, QuotaExceeded, SizeInvalid, UploadUnknown
from mirror.registry.streams import single_chunk
from mirror.registry.upload import UploadBody
from mirror.runtime.current_rule import working_for
from mirror.store.catalog.tables.collection_tables import quota_reservations
from mirror.store.catalog.tables.content_tables import manifests, repository_blobs, tags
from mirror.store.registry import Store
from tests.support.builders import OTHER, REPOSITORY, in_chunks, manifest_of, push_blob, push_image
from tests.support.clocks import HandClock
from tests.support.quotas import MIB, QuotaSite, quota


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(empty: Path, tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    shutil.copytree(empty, tmp_path / "data")
    async with Store.open(tmp_path / "data", clock=clock) as opened:
        yield opened


async def test_a_blob_that_does_not_fit_is_refused_with_numbers(store: Store, tmp_path: Path) -> None:
    site = QuotaSite(store, [quota("contiv/*", size_bytes=1000)])
    await push_blob(site.seen_by(), bytes(700))
    with pytest.raises(QuotaExceeded) as refused:
        await push_blob(site.seen_by(), bytes(400))
    assert str(refused.value) == (
        "quota of repositories contiv/*: 700 B of 1000 B are used; 400 B more do not fit; fix: delete manifests and "
        "tags that nobody needs, or have the operator raise quotas: in the configuration"
    )
    assert refused.value.detail["limit"] == "1000"
    with pytest.raises(BlobUnknown):
        await store.stat_blob(REPOSITORY, Digest.of(bytes(400)))
    assert list((tmp_path / "data/uploads").iterdir()) == []
    await push_blob(site.seen_by(), bytes(300))
    assert await site.used_bytes() == 1000


async def test_nothing_is_received_of_an_upload_whose_size_does_not_fit(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=3 * MIB)])
    upload = await site.seen_by().begin_upload(REPOSITORY)

    async def untouched() -> AsyncIterator[bytes]:
        yield pytest.fail("a chunk was asked for")

    with pytest.raises(QuotaExceeded):
        await upload.append(untouched(), size_bytes=4 * MIB)
    with pytest.raises(UploadUnknown):
        await store.resume_upload(REPOSITORY, upload.id)


async def test_an_upload_of_unknown_size_ends_where_it_no_longer_fits(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=3 * MIB)])
    upload, taken = await site.seen_by().begin_upload(REPOSITORY), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(MIB)

    with pytest.raises(QuotaExceeded):
        await upload.commit(Digest.of(b""), UploadBody(endless()))
    assert taken == 4
    with pytest.raises(UploadUnknown):
        await store.resume_upload(REPOSITORY, upload.id)


async def test_an_upload_of_unknown_size_may_use_all_that_is_left(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=3 * MIB)])
    content = bytes(3 * MIB)
    upload = await site.seen_by().begin_upload(REPOSITORY)
    await upload.commit(Digest.of(content), UploadBody(in_chunks(content, 65536)))
    assert await site.used_bytes() == 3 * MIB


async def test_large_uploads_under_way_do_not_pass_a_quota_together(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=5 * MIB)])
    first, second = [await site.seen_by().begin_upload(REPOSITORY) for _ in range(2)]
    await first.append(single_chunk(bytes(3 * MIB)), size_bytes=3 * MIB)
    with pytest.raises(QuotaExceeded, match=r"uploads under way will add 3\.0 MiB"):
        await second.append(single_chunk(bytes(3 * MIB)), size_bytes=3 * MIB)
    await first.cancel()
    third = await site.seen_by().begin_upload(REPOSITORY)
    await third.append(single_chunk(bytes(3 * MIB)), size_bytes=3 * MIB)


async def test_what_was_reserved_and_stored_counts_once(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=5 * MIB)])
    for content in (bytes(3 * MIB), bytes(2 * MIB)):
        upload = await site.seen_by().begin_upload(REPOSITORY)
        await upload.append(single_chunk(content), size_bytes=len(content))
        await upload.commit(Digest.of(content))
    assert await site.used_bytes() == 5 * MIB
    assert await reserved_bytes(store) == 0


async def test_a_broken_off_upload_reserves_nothing(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=5 * MIB)])
    upload = await site.seen_by().begin_upload(REPOSITORY)

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise SizeInvalid("the client has gone")

    with pytest.raises(SizeInvalid):
        await upload.append(broken(), size_bytes=4 * MIB)
    assert await reserved_bytes(store) == 0
    resumed = await site.seen_by().resume_upload(REPOSITORY, upload.id)
    await resumed.append(single_chunk(bytes(3 * MIB)), size_bytes=3 * MIB)
    assert await reserved_bytes(store) == 4 * MIB


async def test_the_reservation_of_a_killed_process_ends_after_an_hour(store: Store, clock: HandClock) -> None:
    site = QuotaSite(store, [quota(size_bytes=5 * MIB)])
    lost = await site.seen_by().begin_upload(REPOSITORY)
    await lost.append(single_chunk(bytes(3 * MIB)), size_bytes=3 * MIB)
    clock.advance(hours=1, seconds=1)
    upload = await site.seen_by().begin_upload(REPOSITORY)
    await upload.append(single_chunk(bytes(4 * MIB)), size_bytes=4 * MIB)


async def test_a_reservation_from_before_the_clock_was_set_back_does_not_last(store: Store, clock: HandClock) -> None:
    site = QuotaSite(store, [quota(size_bytes=5 * MIB)])
    lost = await site.seen_by().begin_upload(REPOSITORY)
    await lost.append(single_chunk(bytes(3 * MIB)), size_bytes=3 * MIB)
    clock.set(days=-1)
    upload = await site.seen_by().begin_upload(REPOSITORY)
    await upload.append(single_chunk(bytes(4 * MIB)), size_bytes=4 * MIB)


async def test_pushes_at_the_same_time_do_not_pass_a_quota_together(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=1000)])
    contents = [bytes([number]) * 300 for number in range(8)]
    results = await asyncio.gather(*(push_blob(site.seen_by(), each) for each in contents), return_exceptions=True)
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 5
    assert await site.used_bytes() == 900


async def test_nothing_begins_when_nothing_is_left(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=100)])
    await push_blob(site.seen_by(), bytes(100))
    with pytest.raises(QuotaExceeded, match="one more byte does not fit"):
        await site.seen_by().begin_upload(REPOSITORY)


async def test_manifests_are_limited(store: Store) -> None:
    site = QuotaSite(store, [quota(manifests=1)])
    held = await push_image(site.seen_by(), "one", "1")
    with pytest.raises(QuotaExceeded, match="1 manifest of 1 manifest are used"):
        await push_image(site.seen_by(), "two", "2")
    with pytest.raises(ManifestUnknown):
        await store.resolve(REPOSITORY, Tag("2"))
    await site.seen_by().put_manifest(REPOSITORY, held, [Tag("again")])


async def test_tags_are_limited_and_move_freely(store: Store) -> None:
    site = QuotaSite(store, [quota(tags=2)])
    await push_image(site.seen_by(), "one", "1", "latest")
    moved = await push_image(site.seen_by(), "two", "latest")
    assert (await store.resolve(REPOSITORY, Tag("latest"))).digest == moved.digest
    with pytest.raises(QuotaExceeded, match="one more tag does not fit"):
        await push_image(site.seen_by(), "two", "2")


async def test_a_mounted_blob_counts_once_in_each_repository(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=1000)])
    first = await push_blob(site.seen_by(), bytes(500))
    second = await push_blob(site.seen_by(), bytes(499))
    with pytest.raises(QuotaExceeded):
        await site.seen_by().mount_blob(OTHER, first.digest, REPOSITORY)
    await site.seen_by().mount_blob(REPOSITORY, second.digest, REPOSITORY)
    assert await site.used_bytes() == 999


async def test_a_deletion_makes_room_at_once(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=1000, manifests=1)])
    first = await push_image(site.seen_by(), "first", "1")
    used = await site.used_bytes()
    with pytest.raises(QuotaExceeded):
        await push_image(site.seen_by(), "other", "2")
    await store.delete_manifest(REPOSITORY, first.digest)
    await push_image(site.seen_by(), "other", "2")
    assert await site.used_bytes() == used


async def test_content_that_a_deletion_left_behind_counts_again_once_it_is_named(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=1000)])
    config, layer = [await push_blob(site.seen_by(), content) for content in (b"{}", bytes(600))]
    named = manifest_of({"config": config.to_json(), "layers": [layer.to_json()]})
    await site.seen_by().put_manifest(REPOSITORY, named)
    await store.delete_manifest(REPOSITORY, named.digest)
    assert await site.used_bytes() == 0
    await push_blob(site.seen_by(), b"x" * 500)
    # A client that finds the blobs with HEAD pushes only the manifest.
    with pytest.raises(QuotaExceeded):
        await site.seen_by().put_manifest(REPOSITORY, named)


async def test_a_push_that_adds_nothing_is_never_refused(store: Store) -> None:
    held = await push_image(store, "held", "1")
    lowered = QuotaSite(store, [quota(size_bytes=1, manifests=0, tags=0)])
    await lowered.seen_by().put_manifest(REPOSITORY, held, [Tag("1")])
    assert (await lowered.usages())[0].part > 1


async def test_a_push_must_fit_in_each_quota_of_its_repository(store: Store) -> None:
    site = QuotaSite(store, [quota("**", size_bytes=1000), quota("contiv/**", size_bytes=300)])
    await push_blob(site.seen_by(), bytes(500), OTHER)
    with pytest.raises(QuotaExceeded, match="contiv"):
        await push_blob(site.seen_by(), bytes(400))
    with pytest.raises(QuotaExceeded, match=r"repositories \*\*"):
        await push_blob(site.seen_by(), bytes(501), OTHER)
    await push_blob(site.seen_by(), bytes(300))
    assert site.counted(0) == [1.0, 1.0]


async def test_each_user_has_a_quota_of_its_own(store: Store) -> None:
    site = QuotaSite(store, [quota(user="*", size_bytes=1000)])
    await push_blob(site.seen_by("anna"), b"a" * 900)
    await push_blob(site.seen_by("ben"), b"b" * 900)
    await push_blob(site.seen_by(), b"nobody" * 900)
    with pytest.raises(QuotaExceeded, match="quota of user anna"):
        await push_blob(site.seen_by("anna"), b"a" * 101)
    assert [(one.account.scope, one.used.size_bytes) for one in await site.usages()] == [
        ("user anna", 900),
        ("user ben", 900),
    ]


async def test_content_counts_for_the_user_who_brought_it(store: Store) -> None:
    site = QuotaSite(store, [quota(user="anna", size_bytes=100, tags=1), quota(user="ben", size_bytes=9000, tags=1)])
    held = await push_image(site.seen_by("ben"), "ours", "1")
    # Of a tag, the last push counts.
    await site.seen_by("anna").put_manifest(REPOSITORY, held, [Tag("1")])
    anna, ben = [one.used for one in await site.usages()]
    assert (anna.size_bytes, anna.manifests, anna.tags) == (0, 0, 1)
    assert (ben.manifests, ben.tags) == (1, 0)


async def test_the_store_knows_who_pushed(store: Store) -> None:
    site = QuotaSite(store, [])
    pushed = await push_image(site.seen_by("anna"), "hers", "1")
    await store.mount_blob(OTHER, pushed.blobs[0].digest, REPOSITORY)
    await site.seen_by("ben").mount_blob(OTHER, pushed.blobs[1].digest, REPOSITORY)
    found = [select(table.c.pushed_by) for table in (repository_blobs, manifests, tags)]
    blobs, of_manifests, of_tags = [
        await store.services.catalog.read(lambda connection, one=one: connection.execute(one).scalars().all())
        for one in found
    ]
    assert sorted(map(str, blobs)) == ["None", "anna", "anna", "ben"]
    assert of_manifests == of_tags == ["anna"]


async def test_a_mirror_rule_is_not_refused_and_counts(store: Store) -> None:
    site = QuotaSite(store, [quota(manifests=1)])
    with working_for("rule"):
        for name in ("one", "two"):
            await push_image(store, name, name)
    with pytest.raises(QuotaExceeded):
        await push_image(site.seen_by(), "three", "3")


async def test_a_nearly_used_quota_is_told_with_each_manifest_and_once_in_the_log(store: Store) -> None:
    site = QuotaSite(store, [quota(tags=4, soft=0.5)])
    with capture_logs() as log:
        advice = [await push_tag(site, name) for name in ("1", "2", "3", "3")]
    assert advice == [
        (),
        ("quota of repositories **: 2 tags of 4 tags used",),
        ("quota of repositories **: 3 tags of 4 tags used",),
        ("quota of repositories **: 3 tags of 4 tags used",),
    ]
    assert [line["event"] for line in log] == ["quota nearly used"]
    assert site.counted(1) == [1.0]


async def test_a_soft_limit_that_a_reservation_passes_is_logged_once(store: Store) -> None:
    site = QuotaSite(store, [quota(size_bytes=4 * MIB, soft=0.5)])
    upload = await site.seen_by().begin_upload(REPOSITORY)
    content = bytes(3 * MIB)
    await upload.append(single_chunk(content), size_bytes=len(content))
    await upload.commit(Digest.of(content))
    assert site.counted(1) == [1.0]


async def test_reading_and_deleting_are_those_of_the_wrapped_registry(store: Store) -> None:
    seen = QuotaSite(store, [quota(tags=1)]).seen_by("anna")
    assert (seen.get_manifest, seen.open_blob) == (store.get_manifest, store.open_blob)
    assert seen.delete_tag == store.delete_tag


async def push_tag(site: QuotaSite, name: str) -> tuple[str, ...]:
    held = await push_image(site.store, "content")
    return await site.seen_by().put_manifest(REPOSITORY, held, [Tag(name)])


async def reserved_bytes(store: Store) -> int:
    statement = select(quota_reservations.c.size_bytes)
    return sum(await store.services.catalog.read(lambda connection: connection.execute(statement).scalars().all()))
