"""Reading: large manifests do not block other readers, and what is collected meanwhile is unknown, not damaged."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mirror.oci import Digest, Manifest, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, StorageDamaged
from mirror.oci.media_types import OCI_INDEX
from mirror.registry.port import Blob
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.registry import Store
from mirror.wire.ranges import RangeRequest
from tests.support.builders import REPOSITORY, push_blob, read_blob


def index(size_bytes: int) -> Manifest:
    content = {"schemaVersion": 2, "manifests": [], "annotations": {"long": "x" * size_bytes}}
    return Manifest.parse(json.dumps(content).encode(), OCI_INDEX)


@pytest.mark.parametrize(("size_bytes", "by_catalog"), [(10, True), (2 * LIGHT_BYTES, False)])
async def test_a_large_manifest_is_read_once_and_by_no_reader_of_the_catalog(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int, by_catalog: bool
) -> None:
    manifest = index(size_bytes)
    async with Store.open(folder) as store:
        await store.put_manifest(REPOSITORY, manifest, [Tag("1")])
    read = Counter[Digest]()
    readers = set[str]()

    def counted(blobs: object, digest: Digest, media_type: str, size: int) -> Manifest:
        read[digest] += 1
        readers.add(threading.current_thread().name.partition("_")[0])
        return load_manifest(blobs, digest, media_type, size)  # type: ignore[arg-type]

    monkeypatch.setattr("mirror.store.catalog.manifest_loader.load_manifest", counted)
    async with Store.open(folder) as store:
        targets = [Tag("1"), manifest.digest] * 5
        found = await asyncio.gather(*(store.get_manifest(REPOSITORY, target) for target in targets))
        assert found == [manifest] * 10
    assert ("catalog-reader" in readers) == by_catalog
    if not by_catalog:
        # A second reading may begin after the first one ends and before its result is cached.
        assert read[manifest.digest] <= 2


async def test_a_blob_collected_between_look_up_and_opening_is_unknown(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await push_blob(store, b"gone at that moment")
    _before_opening(monkeypatch, store, lambda: _collect(store, blob.digest))
    with pytest.raises(BlobUnknown):
        await read_blob(store, blob.digest)


async def test_a_blob_collected_and_pushed_again_meanwhile_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await push_blob(store, b"gone and back")
    opened = []

    async def collect_and_push_again() -> None:
        await _collect(store, blob.digest)
        opened.append(1)

    async def push_again() -> None:
        await push_blob(store, b"gone and back")

    _before_opening(monkeypatch, store, collect_and_push_again)
    read = store.services.catalog.read

    async def after_the_push(work: object) -> object:
        if opened:
            opened.clear()
            await push_again()
        return await read(work)  # type: ignore[arg-type]

    monkeypatch.setattr(store.services.catalog, "read", after_the_push)
    assert await read_blob(store, blob.digest) == b"gone and back"


async def test_a_blob_whose_file_is_missing_is_damaged(store: Store) -> None:
    blob = await push_blob(store, b"lost by the disk")
    store.services.blobs.remove(blob.digest)  # type: ignore[attr-defined]
    with pytest.raises(StorageDamaged):
        await read_blob(store, blob.digest)


async def test_a_manifest_collected_while_it_is_loaded_is_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = index(10)
    async with Store.open(folder) as store:
        await store.put_manifest(REPOSITORY, manifest, [Tag("1")])
    async with Store.open(folder) as store:

        def collected(blobs: object, digest: Digest, media_type: str, size: int) -> Manifest:
            with sqlite3.connect(folder / "catalog.sqlite") as catalog:
                catalog.execute("DELETE FROM tags")
                catalog.execute("DELETE FROM manifests")
            raise StorageDamaged("the file is missing")

        monkeypatch.setattr("mirror.store.catalog.manifest_loader.load_manifest", collected)
        with pytest.raises(ManifestUnknown):
            await store.get_manifest(REPOSITORY, manifest.digest)


async def _collect(store: Store, digest: Digest) -> None:
    await store.delete_blob(REPOSITORY, digest)
    store.services.blobs.remove(digest)


def _before_opening(monkeypatch: pytest.MonkeyPatch, store: Store, work: Callable[[], Awaitable[None]]) -> None:
    """Do some work before the next blob is opened, and after it was looked up."""
    blobs = store.services.blobs
    opening = blobs.open

    @asynccontextmanager
    async def open_later(digest: Digest, size_bytes: int, part: RangeRequest | None) -> AsyncIterator[Blob]:
        monkeypatch.setattr(blobs, "open", opening)
        await work()
        async with opening(digest, size_bytes, part) as blob:
            yield blob

    monkeypatch.setattr(blobs, "open", open_later)
