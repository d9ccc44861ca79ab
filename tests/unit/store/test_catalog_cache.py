from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.oci import Manifest, Repository, Tag
from mirror.store.catalog.catalog_cache import CatalogCache, Held
from mirror.store.catalog.generation import Generation
from tests.support.builders import manifest_of

REPOSITORY, TAG = Repository("a/b"), Tag("latest")


def an_index(text: str = "") -> Manifest:
    return manifest_of({"manifests": [], "text": text}, "application/vnd.oci.image.index.v1+json")


@pytest.fixture
async def generation(tmp_path: Path) -> Iterator[Generation]:
    async with Generation.open(tmp_path / "generation") as opened:
        yield opened


async def test_what_was_read_is_kept_until_something_changes(generation: Generation) -> None:
    cache, manifest = CatalogCache(generation, 1_000_000), an_index()
    cache.keep_manifest(cache.generation, REPOSITORY, TAG, Held(manifest))
    cache.keep_blob(cache.generation, REPOSITORY, manifest.digest, Held(7))
    assert cache.manifest(REPOSITORY, TAG) == Held(manifest)
    assert cache.blob(REPOSITORY, manifest.digest) == Held(7)
    assert cache.manifest(Repository("a/c"), TAG) is None
    assert cache.manifest(REPOSITORY, Tag("other")) is None

    with generation.turn():
        assert cache.manifest(REPOSITORY, TAG) == Held(manifest)
        with generation.changing():
            assert cache.manifest(REPOSITORY, TAG) is None
            assert cache.blob(REPOSITORY, manifest.digest) is None

    assert cache.manifest(REPOSITORY, TAG) is None
    assert cache.blob(REPOSITORY, manifest.digest) is None
    assert cache.body(manifest.digest, manifest.media_type) is manifest


async def test_what_was_read_before_a_change_is_not_kept_after_it(generation: Generation) -> None:
    cache, manifest = CatalogCache(generation, 1_000_000), an_index()
    before = cache.generation
    with generation.turn(), generation.changing():
        during = cache.generation

    cache.keep_manifest(before, REPOSITORY, TAG, Held(manifest))
    assert cache.manifest(REPOSITORY, TAG) is None
    cache.keep_manifest(during, REPOSITORY, TAG, Held(manifest))
    assert cache.manifest(REPOSITORY, TAG) is None


async def test_memory_is_bounded(generation: Generation) -> None:
    cache = CatalogCache(generation, 200_000)
    manifests = [an_index(str(number) + "x" * 1000) for number in range(100)]
    for manifest in manifests:
        cache.keep_manifest(cache.generation, REPOSITORY, manifest.digest, Held(manifest))

    held = [manifest for manifest in manifests if cache.manifest(REPOSITORY, manifest.digest)]

    assert manifests[-1] in held
    assert 5 < len(held) < 20
