"""What a bundle has and other registries do not: content that was left out, and bytes that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.bundle import member_content
from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.bundled_repository import read_repository
from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.format.statement import Since
from mirror.bundle.reader import BundleReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import BlobUnknown, ManifestUnknown
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.oci.media_types import OCI_MANIFEST
from mirror.registry.port import Unverified
from mirror.store.registry import Store
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest
from tests.support.builders import described, index, manifest_of
from tests.support.bundles import BuiltBundle, build, small_plugin

DRIVER, OTHER = Repository("acme/driver"), Repository("acme/other")
ONE, TWO = Tag("1.0"), Tag("2.0")
LAYER = bytes(range(256)) * 8192  # two chunks, with header and padding


async def reader_of(folder: Path, content: bytes) -> BundleReader:
    (folder / "b.tar").write_bytes(content)
    source = await FileSource.open(folder / "b.tar")
    return BundleReader(await read_head(source), source)


def two_plugins(**options: object) -> tuple[Manifest, Manifest, BuiltBundle]:
    one, blobs = small_plugin(LAYER)
    two, others = small_plugin(LAYER, b"another layer", Description="two")
    return one, two, build({"acme/driver:1.0": one, "acme/driver:2.0": two}, [*blobs, *others], **options)


async def read(bundle: BundleReader, digest: Digest, part: RangeRequest | None = None) -> bytes:
    async with bundle.open_blob(DRIVER, digest, part) as blob:
        return b"".join([chunk async for chunk in blob])


async def test_a_delta_says_why_content_is_absent(tmp_path: Path) -> None:
    one, two, _ = two_plugins()
    left_out = [one.digest, one.layers[0].digest]
    built = two_plugins(since=Since(serial=1), left_out=left_out)[2]
    bundle = await reader_of(tmp_path, built.content)

    for ask in (bundle.resolve, bundle.get_manifest):
        with pytest.raises(ManifestUnknown, match="delta"):
            await ask(DRIVER, ONE)
    with pytest.raises(BlobUnknown, match="delta"):
        await bundle.stat_blob(DRIVER, one.layers[0].digest)
    # The list has what can be pulled by its name. The names of the others are in the head.
    assert (await bundle.list_tags(DRIVER, PageRequest())).entries == (TWO,)
    assert (await bundle.get_manifest(DRIVER, TWO)).digest == two.digest


async def test_members_of_an_index_may_be_left_out(tmp_path: Path) -> None:
    one, blobs = small_plugin()
    two, others = small_plugin(Description="two")
    both = index(one.descriptor, two.descriptor)
    built = build({"acme/driver:1.0": both}, [one, *blobs, two, *others], left_out=[two.digest, two.config.digest])
    bundle = await reader_of(tmp_path, built.content)

    assert await bundle.get_manifest(DRIVER, one.digest) == one
    with pytest.raises(ManifestUnknown):
        await bundle.get_manifest(DRIVER, two.digest)


def damage_content(content: bytearray, start: int, header: int, size: int) -> None:
    content[start + header + size // 2] ^= 1


def damage_header(content: bytearray, start: int, header: int, size: int) -> None:
    content[start + 100] ^= 1  # the mode


def damage_padding(content: bytearray, start: int, header: int, size: int) -> None:
    content[start + header + size] ^= 1


DAMAGES = [damage_content, damage_header, damage_padding]
Damage = Callable[[bytearray, int, int, int], None]


def damaged(built: BuiltBundle, digest: Digest, damage: Damage) -> bytes:
    placed, content = built.layout.blob(digest), bytearray(built.content)
    assert placed is not None
    assert placed.padding
    damage(content, placed.start_bytes, len(placed.header), placed.member.size_bytes)
    return bytes(content)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_place_of_a_damaged_blob_is_named(tmp_path: Path, damage: Damage) -> None:
    layer = LAYER + b"odd"
    manifest, blobs = small_plugin(layer)
    built = build({"acme/driver:1.0": manifest}, blobs)
    digest = manifest.layers[0].digest
    placed = built.layout.blob(digest)
    assert placed is not None
    bundle = await reader_of(tmp_path, damaged(built, digest, damage))

    with pytest.raises(BundleInvalid, match=f"{digest.hex} in .*bytes {placed.start_bytes} to {placed.end_bytes - 1} "):
        await read(bundle, digest)


async def test_the_last_chunk_of_a_damaged_blob_is_not_given(tmp_path: Path) -> None:
    manifest, _, built = two_plugins()
    digest = manifest.layers[0].digest
    placed, content = built.layout.blob(digest), bytearray(built.content)
    assert placed is not None
    content[placed.content_bytes] ^= 1
    bundle = await reader_of(tmp_path, bytes(content))
    given = bytearray()

    async def take() -> None:
        async with bundle.open_blob(DRIVER, digest) as blob:
            async for chunk in blob:
                given.extend(chunk)

    with pytest.raises(BundleInvalid):
        await take()
    assert 0 < len(given) < len(LAYER)


async def test_a_damaged_manifest_does_not_hide_the_others(tmp_path: Path) -> None:
    one, two, built = two_plugins()
    bundle = await reader_of(tmp_path, damaged(built, one.digest, damage_content))

    with pytest.raises(BundleInvalid, match=one.digest.hex):
        await bundle.get_manifest(DRIVER, ONE)
    assert await bundle.get_manifest(DRIVER, TWO) == two
    assert await read(bundle, two.layers[0].digest) == LAYER


async def copied(bundle: BundleReader, folder: Path) -> tuple[Store, Manifest]:
    async with Store.open(folder / "data") as store:
        await copy_graph(
            CopySource(bundle, DRIVER),
            ONE,
            CopyDestination(store, OTHER),
            [ONE],
            SilentProgress(),
            locks=BlobLocks(store.downloads),
        )
        return store, await store.get_manifest(OTHER, ONE)


async def test_a_store_that_verifies_gets_bytes_that_were_not_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, built = two_plugins()
    bundle = await reader_of(tmp_path, built.content)
    hashed: list[Digest] = []
    verify = member_content.verify_chunks

    def noting(chunks, digest, *rest):
        hashed.append(digest)
        return verify(chunks, digest, *rest)

    monkeypatch.setattr(member_content, "verify_chunks", noting)
    _, stored = await copied(bundle, tmp_path)

    assert stored.content == one.content
    assert set(hashed) <= {manifest.descriptor.digest for manifest in two_plugins()[:2]}


@pytest.mark.parametrize("damage", [damage_content, damage_header])
async def test_a_store_that_verifies_blames_the_bundle(tmp_path: Path, damage: Damage) -> None:
    one, blobs = small_plugin(LAYER + b"odd")
    built = build({"acme/driver:1.0": one}, blobs)
    bundle = await reader_of(tmp_path, damaged(built, one.layers[0].digest, damage))

    with pytest.raises(BundleInvalid, match=one.layers[0].digest.hex):
        await copied(bundle, tmp_path)
    async with Store.open(tmp_path / "data") as store:
        with pytest.raises(BlobUnknown):
            await store.stat_blob(OTHER, one.layers[0].digest)


async def test_a_blob_of_a_bundle_may_be_read_unverified(tmp_path: Path) -> None:
    one, _, built = two_plugins()
    bundle = await reader_of(tmp_path, built.content)
    async with bundle.open_blob(DRIVER, one.layers[0].digest, RangeRequest(100, 199)) as blob:
        assert isinstance(blob, Unverified)
        assert b"".join([chunk async for chunk in blob.unverified()]) == LAYER[100:200]


async def test_a_page_of_heavy_referrers_is_short(tmp_path: Path) -> None:
    # Their annotations may be larger than all memory, so they are read for each page.
    subject, blobs = small_plugin()
    config = described(media_types.DOCKER_IMAGE_CONFIG, b"{}").to_json()
    heavy = [
        manifest_of(
            {
                "config": config,
                "layers": [],
                "subject": subject.descriptor.to_json(),
                "annotations": {"number": str(number), "long": "x" * (MAX_MANIFEST_BYTES // 2)},
            }
        )
        for number in range(5)
    ]
    named = {f"acme/driver@{each.digest}": each for each in heavy}
    built = build({"acme/driver:1.0": subject, **named}, [*blobs, b"{}"])
    bundle = await reader_of(tmp_path, built.content)

    found: list[Descriptor] = []
    more = True
    while more:
        last = str(found[-1].digest) if found else None
        page = await bundle.list_referrers(DRIVER, subject.digest, None, PageRequest(last=last))
        assert 0 < len(page.entries) <= 2
        found, more = [*found, *page.entries], page.more
    expected = sorted((each.as_referrer() for each in heavy), key=lambda each: str(each.digest))
    assert found == expected


async def test_an_index_that_repeats_its_members_costs_nothing(tmp_path: Path) -> None:
    one, blobs = small_plugin()
    many = [index(*[one.descriptor] * 9_000, *[described(OCI_MANIFEST, b"%d" % number)]) for number in range(4)]
    built = build({f"acme/driver:{number}": each for number, each in enumerate(many)}, [one, *blobs])
    layout = built.layout
    source = await reader_of(tmp_path, built.content)
    content = await read_repository(layout, source.source, source.head.names)
    assert len(content.manifests) == len(many) + 1
    assert content.weight == 1 + len(many) + 1 + 2 * 2  # a plugin, and the two blobs that it names
