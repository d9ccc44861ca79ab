"""A pushing process killed with SIGKILL: acknowledged images are stored, and nothing else is visible."""

import asyncio
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from mirror.oci import Digest, Tag
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import REPOSITORY, in_chunks, push_image, read_blob
from tests.unit.store.disks import upload_files

ROUNDS = 8


async def push_until_killed(folder: Path, first: int) -> None:
    """Push images concurrently, some with large layers, and print each one that is acknowledged."""

    async def push(number: int) -> None:
        while True:
            content = random.Random(number).randbytes(number % 7 * 400_000 + 10)
            upload = await store.begin_upload(REPOSITORY)
            await upload.append(in_chunks(content, 64_000))
            blob = await upload.commit(Digest.of(content))
            image = await push_image(store, f"image {number}", f"v{number}", "latest")
            print(number, blob.digest, image.digest, flush=True)
            number += 3

    async with Store.open(folder) as store, asyncio.TaskGroup() as tasks:
        for number in range(first, first + 3):
            tasks.create_task(push(number))


def run_and_kill(folder: Path, first: int, seconds: float) -> list[tuple[int, Digest, Digest]]:
    """Kill a pushing process some seconds after its first acknowledgement. Returns all acknowledged images."""
    command = [sys.executable, "-m", "tests.unit.store.test_killed", str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as child:
        while "data folder created" in (line := child.stdout.readline()):
            pass  # the log
        lines = [line]
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
        lines += child.stdout.readlines()
    assert child.returncode == -9
    acknowledged = []
    for line in lines:
        if line.endswith("\n"):
            number, blob, image = line.split()
            acknowledged.append((int(number), Digest.parse(blob), Digest.parse(image)))
    return acknowledged


async def test_what_was_acknowledged_survives(folder: Path) -> None:
    acknowledged: list[tuple[int, Digest, Digest]] = []
    moments = random.Random(17)
    for number in range(ROUNDS):
        acknowledged += await asyncio.to_thread(run_and_kill, folder, number * 1000, moments.uniform(0.0, 0.25))

        async with Store.open(folder) as store:
            for number_pushed, blob, image in acknowledged:
                assert Digest.of(await read_blob(store, blob)) == blob
                assert (await store.resolve(REPOSITORY, Tag(f"v{number_pushed}"))).digest == image
            # Other visible images must be complete.
            for tag in (await store.list_tags(REPOSITORY, PageRequest())).entries:
                manifest = await store.get_manifest(REPOSITORY, tag)
                for child in manifest.blobs:
                    assert len(await read_blob(store, child.digest)) == child.size_bytes
            await store.uploads.expire(timedelta(days=-1))
            assert upload_files(folder) == []

    assert len(acknowledged) > ROUNDS


if __name__ == "__main__":
    asyncio.run(push_until_killed(Path(sys.argv[1]), int(sys.argv[2])))
