"""Each reason for which content stays: with it a collection keeps the bytes, and without it nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from mirror.access.client import Client
from mirror.filters.by_platform import ByPlatform
from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ManifestUnknown
from mirror.oci.name_pattern import NamePattern
from mirror.records.admission.admissions import AdmissionDecision, Subject
from mirror.records.derivations import Derivation
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.records.origins import Origin
from mirror.records.platform_rules import PlatformRule, PlatformTags
from mirror.registry.streams import single_chunk
from mirror.store.catalog import child_rows
from mirror.store.catalog.tables.collection_tables import content_holders, held_content, pins
from mirror.store.collection.decisions import UNTAGGED_KEPT, UPLOAD_OPEN
from mirror.store.collection.protectors import PROTECTORS
from mirror.store.registry import Store
from mirror.wire.user_agent import Engine
from tests.support.builders import OTHER, REPOSITORY, index, manifest_of, plugin, push_blob, push_image
from tests.support.clocks import HandClock
from tests.support.collecting import RULES, collect_now, content_of, kept_bytes, review

CONFIG, LAYER = b"{}", b"layer" * 100


@dataclass(frozen=True)
class Kept:
    """Content that stays for one reason."""

    kind: ReviewKind
    digest: Digest
    repository: Repository | None = REPOSITORY


Making = Callable[[Store, HandClock], AsyncIterator[Kept]]


def kept(manifest: Manifest) -> Kept:
    return Kept(ReviewKind.MANIFEST, manifest.digest)


async def a_tag(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    yield kept(await push_image(store, "image", "1.0"))
    await store.delete_tag(REPOSITORY, Tag("1.0"))


async def one_of_two_tags(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image", "1.0", "latest")
    other = await push_image(store, "other", "1.0")
    yield kept(image)
    for manifest in (image, other):
        await store.delete_manifest(REPOSITORY, manifest.digest)


async def a_member_of_an_index(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    member = await push_image(store, "image")
    await store.put_manifest(REPOSITORY, index(member.descriptor), [Tag("1.0")])
    yield kept(member)
    await store.delete_tag(REPOSITORY, Tag("1.0"))


async def a_member_of_a_member(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    member = await push_image(store, "image")
    inner = index(member.descriptor)
    await store.put_manifest(REPOSITORY, inner)
    await store.put_manifest(REPOSITORY, index(inner.descriptor), [Tag("1.0")])
    yield kept(member)
    await store.delete_tag(REPOSITORY, Tag("1.0"))


async def a_blob_of_an_index(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    blob = await push_blob(store, b"a cache entry")
    await store.put_manifest(REPOSITORY, index(replace(blob, media_type=media_types.OCTET_STREAM)), [Tag("cache")])
    yield Kept(ReviewKind.BLOB, blob.digest)
    await store.delete_tag(REPOSITORY, Tag("cache"))


async def a_referrer_of_what_is_tagged(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image", "1.0")
    yield kept(await push_image(store, "signature", subject=image.descriptor.to_json()))
    await store.delete_tag(REPOSITORY, Tag("1.0"))


async def a_referrer_of_a_member(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    member = await push_image(store, "image")
    await store.put_manifest(REPOSITORY, index(member.descriptor), [Tag("1.0")])
    yield kept(await push_image(store, "signature", subject=member.descriptor.to_json()))
    await store.delete_tag(REPOSITORY, Tag("1.0"))


async def a_referrer_of_a_deleted_manifest(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image", "1.0")
    yield kept(await push_image(store, "signature", subject=image.descriptor.to_json()))
    await store.delete_manifest(REPOSITORY, image.digest)


async def a_referrer_of_a_member_that_was_deleted(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    async for one in a_referrer_of_a_member(store, clock):
        yield one
        for member in (await store.get_manifest(REPOSITORY, Tag("1.0"))).manifests:
            await store.delete_manifest(REPOSITORY, member.digest)
        await collect_now(store, clock)


async def the_subject_of_a_referrer_that_is_approved(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image")
    signature = await push_image(store, "signature", "sha256-0.sig", subject=image.descriptor.to_json())
    subject = Subject(signature.digest, (str(signature.digest),))
    await store.records.decisions.decide(REPOSITORY, [subject], AdmissionDecision(True, "alice", clock.now(), ""))
    yield kept(image)
    await store.delete_tag(REPOSITORY, Tag("sha256-0.sig"))
    await collect_now(store, clock)
    with pytest.raises(ManifestUnknown):
        await store.get_manifest(REPOSITORY, image.digest)
    await store.delete_manifest(REPOSITORY, signature.digest)


async def the_subject_of_a_tagged_referrer(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image")
    await push_image(store, "signature", "sha256-0.sig", subject=image.descriptor.to_json())
    yield kept(image)
    await store.delete_tag(REPOSITORY, Tag("sha256-0.sig"))


async def the_subject_of_a_deleted_referrer(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image")
    signature = await push_image(store, "signature", "sha256-0.sig", subject=image.descriptor.to_json())
    yield kept(image)
    await store.delete_manifest(REPOSITORY, signature.digest)


async def an_approved_plugin(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "plugin")
    subject = Subject(image.digest, (str(image.digest),))
    await store.records.decisions.decide(REPOSITORY, [subject], AdmissionDecision(True, "alice", clock.now(), ""))
    yield kept(image)
    await store.records.decisions.decide(REPOSITORY, [subject], AdmissionDecision(False, "bob", clock.now(), ""))


async def a_pinned_digest(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image")
    pin = {"repository": REPOSITORY.name, "target": str(image.digest), "pinned_by": "alice", "note": ""}
    write = store.services.catalog.write
    await write(lambda connection: connection.execute(insert(pins), {**pin, "pinned_at": clock.now()}))
    yield kept(image)
    await write(lambda connection: connection.execute(delete(pins)))
    await review(store, ReviewKind.MANIFEST, REPOSITORY, image.digest, clock=clock)


async def the_original_of_a_copy(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    original = await push_image(store, "plugin")
    copy = await push_image(store, "plugin with other defaults", "1.0", repository=OTHER)
    derivation = Derivation("hub/plugin", original.digest, "user root", clock.now(), {}, ())
    await store.records.derivations.record_derivation(copy.digest, derivation)
    yield kept(original)
    await store.delete_tag(OTHER, Tag("1.0"))


async def an_incomplete_manifest(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    coming = plugin(CONFIG, LAYER)
    origin = Origin("hub", OTHER, coming.digest, clock.now(), clock.now())
    await store.records.incomplete.keep_incomplete(REPOSITORY, coming, origin, Tag("latest"))
    yield kept(coming)
    await store.records.origins.forget(REPOSITORY, Tag("latest"))


async def a_blob_of_an_incomplete_manifest(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    coming = plugin(CONFIG, LAYER)
    origin = Origin("hub", OTHER, coming.digest, clock.now(), clock.now())
    await store.records.incomplete.keep_incomplete(REPOSITORY, coming, origin, Tag("latest"))
    blob = await push_blob(store, LAYER)
    await store.records.incomplete.arrived(REPOSITORY, blob.digest)
    yield Kept(ReviewKind.BLOB, blob.digest)
    await store.records.origins.forget(REPOSITORY, coming.digest)


async def an_incomplete_member_of_an_index(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    member = plugin(CONFIG, LAYER)
    whole = index(member.descriptor)
    for coming, tag in ((whole, Tag("latest")), (member, None)):
        origin = Origin("hub", OTHER, coming.digest, clock.now(), clock.now())
        await store.records.incomplete.keep_incomplete(REPOSITORY, coming, origin, tag)
    yield kept(member)
    await store.records.origins.forget(REPOSITORY, Tag("latest"))


async def a_referrer_of_an_incomplete_manifest(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    coming = plugin(CONFIG, LAYER)
    origin = Origin("hub", OTHER, coming.digest, clock.now(), clock.now())
    await store.records.incomplete.keep_incomplete(REPOSITORY, coming, origin, Tag("latest"))
    yield kept(await push_image(store, "signature", subject=coming.descriptor.to_json()))
    await store.records.origins.forget(REPOSITORY, Tag("latest"))


async def a_referrer_of_a_forgotten_manifest(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    coming = plugin(CONFIG, LAYER)
    origin = Origin("hub", OTHER, coming.digest, clock.now(), clock.now())
    await store.records.incomplete.keep_incomplete(REPOSITORY, coming, origin, Tag("latest"))
    yield kept(await push_image(store, "signature", subject=coming.descriptor.to_json()))
    await store.records.origins.forget(REPOSITORY, coming.digest)


async def a_layer(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image", "1.0")
    yield Kept(ReviewKind.BLOB, image.layers[0].digest)
    await store.delete_manifest(REPOSITORY, image.digest)


async def a_layer_of_another_repository(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image", "1.0")
    await push_image(store, "image", "1.0", repository=OTHER)
    await store.delete_manifest(REPOSITORY, image.digest)
    yield Kept(ReviewKind.CONTENT, image.layers[0].digest, None)
    await store.delete_manifest(OTHER, image.digest)


async def the_bytes_of_an_incomplete_manifest(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    async for one in an_incomplete_manifest(store, clock):
        yield replace(one, kind=ReviewKind.CONTENT, repository=None)


async def a_blob_beside_an_unread_manifest(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    image = await push_image(store, "image", "1.0")
    blob = await push_blob(store, b"perhaps a layer of it")

    def unread(connection):
        child_rows.write_unread(connection, REPOSITORY.name, str(image.digest))

    await store.services.catalog.write(unread)
    yield Kept(ReviewKind.BLOB, blob.digest)
    await store.delete_manifest(REPOSITORY, image.digest)


async def a_manifest_beside_an_unread_one(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
    async for _ in a_blob_beside_an_unread_manifest(store, clock):
        yield kept(await push_image(store, "perhaps a member of it"))


def held_by_work(repository: str, *, names_the_digest: bool, kind: ReviewKind = ReviewKind.BLOB) -> Making:
    async def make(store: Store, clock: HandClock) -> AsyncIterator[Kept]:
        blob = await push_blob(store, b"imported, and tagged last")
        holder = {"id": "1", "purpose": "import", "detail": "F.tar", "began_at": clock.now()}
        held = {"holder": "1", "repository": repository, "digest": str(blob.digest) if names_the_digest else ""}

        def write(connection):
            until = clock.now() + timedelta(minutes=10)
            connection.execute(insert(content_holders), {**holder, "until": until})
            connection.execute(insert(held_content), held)

        await store.services.catalog.write(write)
        if kind is ReviewKind.CONTENT:
            await store.delete_blob(REPOSITORY, blob.digest)
        yield Kept(kind, blob.digest, None if kind is ReviewKind.CONTENT else REPOSITORY)
        # Its process was killed, and moves the end on no more.
        clock.advance(minutes=11)

    return make


async def a_blob_under_upload(store: Store, _clock: HandClock) -> AsyncIterator[Kept]:
    blob = await push_blob(store, b"the first of two layers")
    upload = await store.begin_upload(REPOSITORY)
    await upload.append(single_chunk(b"half of the second"))
    yield Kept(ReviewKind.BLOB, blob.digest)
    await upload.cancel()


CASES: list[tuple[str, Making]] = [
    ("a tag", a_tag),
    ("a tag", one_of_two_tags),
    ("its index or subject", a_member_of_an_index),
    ("its index or subject", a_member_of_a_member),
    ("a manifest", a_blob_of_an_index),
    ("its index or subject", a_referrer_of_what_is_tagged),
    ("its index or subject", a_referrer_of_a_member),
    ("its index or subject", a_referrer_of_a_deleted_manifest),
    ("its index or subject", a_referrer_of_a_member_that_was_deleted),
    ("a tagged referrer", the_subject_of_a_referrer_that_is_approved),
    ("a tagged referrer", the_subject_of_a_tagged_referrer),
    ("a tagged referrer", the_subject_of_a_deleted_referrer),
    ("an approval", an_approved_plugin),
    ("a pin", a_pinned_digest),
    ("a derived copy", the_original_of_a_copy),
    ("a tag", an_incomplete_manifest),
    ("a manifest", a_blob_of_an_incomplete_manifest),
    ("its index or subject", an_incomplete_member_of_an_index),
    ("its index or subject", a_referrer_of_an_incomplete_manifest),
    ("its index or subject", a_referrer_of_a_forgotten_manifest),
    ("a manifest", a_layer),
    ("a repository", a_layer_of_another_repository),
    ("a repository", the_bytes_of_an_incomplete_manifest),
    ("a manifest that cannot be read", a_blob_beside_an_unread_manifest),
    ("a manifest that cannot be read", a_manifest_beside_an_unread_one),
    ("work under way", held_by_work("", names_the_digest=False)),
    ("work under way", held_by_work(REPOSITORY.name, names_the_digest=False)),
    ("work under way", held_by_work(REPOSITORY.name, names_the_digest=True)),
    ("work under way", held_by_work("", names_the_digest=True, kind=ReviewKind.CONTENT)),
    (UPLOAD_OPEN, a_blob_under_upload),
]


@pytest.mark.parametrize(("name", "make"), CASES, ids=[f"{name}: {make.__name__}" for name, make in CASES])
async def test_content_stays_for_a_reason_and_goes_without_it(
    folder: Path, store: Store, clock: HandClock, name: str, make: Making
) -> None:
    async with asynccontextmanager(make)(store, clock) as one:
        await review(store, one.kind, one.repository, one.digest, clock=clock)
        result = await collect_now(store, clock)
        assert name in result.decided.protected
        assert one.digest in kept_bytes(folder)
        assert not any((await store.records.reviews.compare()).values())

    # No review is written here: the change that took the reason away has to.
    await collect_now(store, clock)
    assert kept_bytes(folder) == set()
    assert not any((await store.records.reviews.compare()).values())


def test_every_protector_has_a_case() -> None:
    assert {name for name, _ in CASES} == {*(one.name for one in PROTECTORS), UPLOAD_OPEN}


async def test_a_circle_of_garbage_goes(folder: Path, store: Store, clock: HandClock) -> None:
    member = await push_image(store, "image")
    circle = manifest_of(
        {"manifests": [member.descriptor.to_json()], "subject": member.descriptor.to_json()}, media_types.OCI_INDEX
    )
    await store.put_manifest(REPOSITORY, circle, [Tag("1.0")])
    await collect_now(store, clock)
    assert kept_bytes(folder) == content_of(member, circle)

    await store.delete_tag(REPOSITORY, Tag("1.0"))
    await collect_now(store, clock)
    assert kept_bytes(folder) == set()


async def test_a_platform_tag_keeps_the_plugin_of_each_platform(store: Store, clock: HandClock) -> None:
    members = {}
    for architecture in ("amd64", "arm64"):
        config = await push_blob(store, f'{{"architecture":"{architecture}"}}'.encode())
        member = manifest_of({"config": config.to_json(), "layers": []})
        await store.put_manifest(REPOSITORY, member)
        platform = {"architecture": architecture, "os": "linux"}
        members[architecture] = {**member.descriptor.to_json(), "platform": platform}
    await store.put_manifest(
        REPOSITORY, manifest_of({"manifests": list(members.values())}, media_types.OCI_INDEX), [Tag("1.0")]
    )
    await collect_now(store, clock)

    rules = PlatformTags([PlatformRule(NamePattern("**"), "*", None)])
    for architecture, member in members.items():
        seen = ByPlatform(store, rules, Client(Engine("24.0.0", architecture)))
        assert str((await seen.get_manifest(REPOSITORY, Tag("1.0"))).digest) == member["digest"]


async def test_an_untagged_manifest_stays_for_its_time(folder: Path, store: Store, clock: HandClock) -> None:
    image = await push_image(store, "image")
    rules = replace(RULES, untagged_default=timedelta(days=30))
    assert UNTAGGED_KEPT in (await collect_now(store, clock, rules)).decided.protected
    clock.advance(days=29)
    await collect_now(store, clock, rules)
    assert kept_bytes(folder) == content_of(image)

    clock.advance(days=2)
    await collect_now(store, clock, rules)
    assert kept_bytes(folder) == set()


async def test_a_comparison_leaves_out_what_waits_for_another_review(store: Store, clock: HandClock) -> None:
    image = await push_image(store, "image", "1.0")
    await push_image(store, "signature", subject=image.descriptor.to_json())
    await collect_now(store, clock)
    await store.delete_tag(REPOSITORY, Tag("1.0"))
    assert not any((await store.records.reviews.compare()).values())


async def test_work_keeps_the_files_that_are_to_be_removed(folder: Path, store: Store, clock: HandClock) -> None:
    blob = await push_blob(store, b"a backup copies it")
    await store.records.reviews.decide(replace(RULES, all_since=clock.now()), 100)

    def hold_everything(connection):
        holder = {"id": "1", "purpose": "backup", "detail": "", "began_at": clock.now()}
        connection.execute(insert(content_holders), {**holder, "until": clock.now() + timedelta(minutes=10)})
        connection.execute(insert(held_content), {"holder": "1", "repository": "", "digest": ""})

    write = store.services.catalog.write
    await write(hold_everything)
    await store.records.reviews.remove_bytes(timedelta(0), 100)
    assert kept_bytes(folder) == {blob.digest}

    await write(lambda connection: connection.execute(update(content_holders).values(until=clock.now())))
    await store.records.reviews.remove_bytes(timedelta(0), 100)
    assert kept_bytes(folder) == set()
