"""One process pushes while another collects everything at once, again and again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from mirror.lifecycle.collector import Collector
from mirror.oci import Digest
from mirror.oci.errors import ManifestBlobUnknown
from mirror.runtime.clock import SystemClock
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import REPOSITORY, push_image, read_blob
from tests.support.collecting import RULES, content_of, kept_bytes
from tests.torture.inspection import inspect

IMAGES, TAGS = 40, 5


async def push(folder: Path) -> None:
    """Push images under tags that move on. A push that is told of a missing blob begins again."""
    async with Store.open(folder) as store:
        for number in range(IMAGES):
            while True:
                try:
                    await push_image(store, f"image {number % 7}", f"v{number % TAGS}")
                    break
                except ManifestBlobUnknown:
                    continue


async def test_a_push_beside_collections_succeeds_and_leaves_nothing_else(folder: Path) -> None:
    async with Store.open(folder) as store:
        collector = Collector(store.records.reviews, RULES, store.uploads.repositories, SystemClock())
        command = [sys.executable, "-m", "tests.unit.lifecycle.test_two_processes", str(folder)]
        with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as pushing:
            while pushing.poll() is None:
                await collector.collect_now()
        assert pushing.returncode == 0

        inspect(folder)
        tags = (await store.list_tags(REPOSITORY, PageRequest())).entries
        assert len(tags) == TAGS
        images = [await store.get_manifest(REPOSITORY, tag) for tag in tags]
        for blob in {blob.digest for image in images for blob in image.blobs}:
            assert Digest.of(await read_blob(store, blob)) == blob
        await collector.collect_now()
        assert kept_bytes(folder) == content_of(*images)


if __name__ == "__main__":
    asyncio.run(push(Path(sys.argv[1])))
