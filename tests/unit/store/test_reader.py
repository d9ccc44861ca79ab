"""Reading large manifests does not block other readers of the catalog."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from mirror.oci import Digest, Manifest, Tag
from mirror.oci.media_types import OCI_INDEX
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY


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
