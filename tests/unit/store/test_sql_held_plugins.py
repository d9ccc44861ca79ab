"""Plugins of a repository, and the blobs that they name."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.records.admission.admissions import Subject
from mirror.records.origins import Origin
from mirror.runtime.concurrency.cpu_offload import LIGHT_BYTES
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.records.admission import sql_held_plugins
from mirror.store.records.admission.sql_decisions import content_of
from mirror.store.registry import Store
from tests.support.builders import manifest_of, push_blob, push_image

HERE, OTHER = Repository("acme/driver"), Repository("acme/copy")
MOST_BYTES = 10_000


async def put(store: Store, name: str, *layers: Descriptor, **members: Any) -> Manifest:
    config = await push_blob(store, json.dumps({"Description": name}).encode(), HERE)
    described = {**config.to_json(), "mediaType": media_types.DOCKER_PLUGIN_CONFIG}
    body = {"config": described, "layers": [layer.to_json() for layer in layers], **members}
    manifest = manifest_of(body, media_types.DOCKER_MANIFEST)
    await store.put_manifest(HERE, manifest, [Tag(name)])
    return manifest


async def test_plugins_come_and_go_with_their_manifests(store: Store) -> None:
    assert not await store.records.plugins.holds_plugins(HERE)
    layer = await push_blob(store, b"layer", HERE)
    first, second = await put(store, "1", layer), await put(store, "2", layer)
    assert await store.records.plugins.holds_plugins(HERE)
    assert await store.records.plugins.plugins_naming(HERE, layer.digest, 9, MOST_BYTES) == sorted(
        [first.digest, second.digest], key=str
    )
    assert len(await store.records.plugins.plugins_naming(HERE, layer.digest, 1, MOST_BYTES)) == 1
    assert await store.records.plugins.plugins_naming(OTHER, layer.digest, 9, MOST_BYTES) == []
    await store.delete_manifest(HERE, first.digest)
    assert await store.records.plugins.plugins_naming(HERE, layer.digest, 9, MOST_BYTES) == [second.digest]
    await store.delete_manifest(HERE, second.digest)
    assert not await store.records.plugins.holds_plugins(HERE)


async def test_what_is_pulled_through_is_in_it_until_it_is_forgotten(store: Store) -> None:
    layer = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(b"layer"), 5)
    config = Descriptor(media_types.DOCKER_PLUGIN_CONFIG, Digest.of(b"{}"), 2)
    body = {"config": config.to_json(), "layers": [layer.to_json()]}
    coming = manifest_of(body, media_types.DOCKER_MANIFEST)
    now = datetime.now(UTC)
    origin = Origin("hub", HERE, coming.digest, now, now)
    await store.records.incomplete.keep_incomplete(HERE, coming, origin, Tag("1"))
    assert await store.records.plugins.plugins_naming(HERE, layer.digest, 9, MOST_BYTES) == [coming.digest]
    assert await store.records.plugins.plugin(HERE, coming.digest) == coming
    await store.records.origins.forget(HERE, coming.digest)
    assert not await store.records.plugins.holds_plugins(HERE)

    await store.records.incomplete.keep_incomplete(HERE, coming, origin, Tag("1"))
    for content in (b"{}", b"layer"):
        await push_blob(store, content, HERE)
        await store.records.incomplete.arrived(HERE, Digest.of(content))
    assert await store.get_manifest(HERE, Tag("1")) == coming
    await store.records.origins.forget(HERE, coming.digest)  # it is held now, and stays
    assert await store.records.plugins.plugins_naming(HERE, layer.digest, 9, MOST_BYTES) == [coming.digest]


async def test_one_that_comes_again_came_the_first_time(store: Store) -> None:
    first, second, third = [await put(store, name) for name in "123"]
    await put(store, "1")
    assert await store.records.plugins.plugins_before(HERE, third.digest, 9) == [first.digest, second.digest]
    assert await store.records.plugins.plugins_before(HERE, third.digest, 1) == [second.digest]
    assert await store.records.plugins.plugins_before(HERE, first.digest, 9) == []
    assert len(await store.records.plugins.plugins_before(HERE, Digest.of(b"new"), 9)) == 3


async def test_images_are_not_in_it_and_are_found_where_they_name_a_blob(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await push_image(store, "an image", "1", repository=HERE)
    await put(store, "2", image.layers[0])
    assert await store.records.plugins.plugins_naming(HERE, image.layers[0].digest, 9, MOST_BYTES) != []
    assert await store.records.plugins.plugins_naming(HERE, image.blobs[0].digest, 9, MOST_BYTES) == []
    assert await store.records.plugins.is_named_otherwise(HERE, image.layers[0].digest)
    assert not await store.records.plugins.is_named_otherwise(HERE, Digest.of(b"other"))
    monkeypatch.setattr(sql_held_plugins, "_MOST_READ_BYTES", 10)
    assert not await store.records.plugins.is_named_otherwise(HERE, image.layers[0].digest)


async def test_what_may_be_a_plugin_is_in_it(store: Store) -> None:
    content = json.dumps({"schemaVersion": 2, "manifests": [], "Manifests": []}).encode()
    unclear = Manifest.parse_stored(content, media_types.OCI_INDEX)
    await store.put_manifest(HERE, unclear)
    assert await store.records.plugins.holds_plugins(HERE)
    assert await store.records.plugins.plugins_before(HERE, Digest.of(b"new"), 9) == [unclear.digest]


async def test_large_ones_are_read_one_after_the_other_and_by_no_reader_of_the_catalog(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[str] = []
    now = most = 0

    def seen(*manifest: Any) -> Manifest:
        nonlocal now, most
        readers.append(threading.current_thread().name)
        now += 1
        most = max(most, now)
        found = load_manifest(*manifest)
        now -= 1
        return found

    long = {"annotations": {"long": "x" * 2 * LIGHT_BYTES}}
    async with Store.open(folder) as store:
        layer = await push_blob(store, b"layer", HERE)
        plugins = [await put(store, name, layer, **long) for name in "123"]
        body = {"config": layer.to_json(), "layers": [layer.to_json()], **long}
        await store.put_manifest(HERE, manifest_of(body, media_types.OCI_MANIFEST))
    monkeypatch.setattr("mirror.store.catalog.manifest_loader.load_manifest", seen)
    async with Store.open(folder) as store:
        assert (
            await asyncio.gather(*[store.records.plugins.plugin(HERE, plugin.digest) for plugin in plugins]) == plugins
        )
        assert await store.records.plugins.plugin_anywhere(plugins[0].digest) == (HERE, plugins[0])
        assert await store.records.plugins.is_named_otherwise(HERE, layer.digest)
        config, content = plugins[1].config, content_of(plugins[1])
        assert config is not None
        assert content is not None
        subject = Subject(plugins[1].digest, (content,), config.digest)
        assert await store.records.decisions.holding(subject) == {HERE}
    assert len(readers) == 6
    assert not any(name.startswith("catalog-reader") for name in readers)
    assert most == 1
