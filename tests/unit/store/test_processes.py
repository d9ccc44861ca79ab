"""Several processes on one data folder: no update is lost, and changes are visible to the others at once."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound, RepositoryUnknown
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import REPOSITORY, manifest_of, push_blob, push_image
from tests.support.waiting import until

SHARED = Tag("shared")


async def obey(folder: Path) -> None:
    """Execute commands from standard input, one a line, and print one line for each."""
    async with Store.open(folder) as store:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await do(store, *line.split()), flush=True)


async def do(store: Store, what: str, name: str, tag: str) -> str:
    if what == "push":
        return str((await push_image(store, name, tag)).digest)
    try:
        if what == "delete":
            await store.delete_tag(REPOSITORY, Tag(tag))
            return "deleted"
        return str((await store.resolve(REPOSITORY, Tag(tag))).digest)
    except NotFound:
        return "unknown"


async def work(folder: Path, worker: str) -> None:
    """Run a mixed load of pushes, moves, reads and deletes in an own and in a shared repository."""
    own = Repository(f"worker/{worker}")
    async with Store.open(folder) as store:

        async def load(lane: int) -> None:
            for number in range(12):
                name = f"{worker}-{lane}-{number}"
                pushed = await push_image(store, name, name, repository=own)
                assert await store.get_manifest(own, Tag(name)) == pushed
                await store.put_manifest(REPOSITORY, an_index(name), [Tag(name), SHARED])
                seen = await store.get_manifest(REPOSITORY, SHARED)
                assert await store.get_manifest(REPOSITORY, seen.digest) == seen
                if number % 3 == 0:
                    await store.delete_manifest(own, pushed.digest)
                    with pytest.raises((ManifestUnknown, RepositoryUnknown)):
                        await store.get_manifest(own, Tag(name))

        async with asyncio.TaskGroup() as tasks:
            for lane in range(3):
                tasks.create_task(load(lane))


def an_index(name: str):
    return manifest_of({"manifests": [], "annotations": {"name": name}}, "application/vnd.oci.image.index.v1+json")


def start(*arguments: str):
    return asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unit.store.test_processes",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )


@asynccontextmanager
async def another_process(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await start("obey", str(folder))
    try:
        yield child
    finally:
        child.stdin.close()
        assert await child.wait() == 0


async def ask(child: asyncio.subprocess.Process, *words: str) -> str:
    child.stdin.write(" ".join(words).encode() + b"\n")
    return (await child.stdout.readline()).decode().strip()


async def test_changes_are_seen_at_once(folder: Path, store: Store) -> None:
    async with another_process(folder) as child:
        for number in range(40):
            here, there = (store, child) if number % 2 else (child, store)

            async def tell(side: object, *words: str) -> str:
                return await (do(store, *words) if side is store else ask(child, *words))

            pushed = await tell(here, "push", f"image-{number}", "latest")
            assert await tell(there, "resolve", "-", "latest") == pushed
            assert await tell(here, "resolve", "-", "latest") == pushed
            if number % 5 == 4:
                assert await tell(there, "delete", "-", "latest") == "deleted"
                assert await tell(here, "resolve", "-", "latest") == "unknown"
                assert await tell(there, "resolve", "-", "latest") == "unknown"


async def test_a_mixed_load_loses_nothing(folder: Path) -> None:
    children = [await start("work", str(folder), str(number)) for number in range(3)]
    assert [await child.wait() for child in children] == [0, 0, 0]

    async with Store.open(folder) as store:
        names = {f"{worker}-{lane}-{number}" for worker in range(3) for lane in range(3) for number in range(12)}
        shared = {tag.name for tag in (await store.list_tags(REPOSITORY, PageRequest())).entries}
        assert shared == names | {"shared"}
        for worker in range(3):
            own = Repository(f"worker/{worker}")
            kept = {tag.name for tag in (await store.list_tags(own, PageRequest())).entries}
            assert kept == {
                name for name in names if name.startswith(f"{worker}-") and int(name.rpartition("-")[2]) % 3
            }


async def test_readers_meet_no_mixture_while_a_tag_moves(folder: Path, store: Store) -> None:
    """One process moves a tag. Readers see each state completely, and never an older one again."""
    order = [an_index(str(number)) for number in range(60)]
    await store.put_manifest(REPOSITORY, order[0], [SHARED])
    digests = [manifest.digest for manifest in order]
    seen: list[int] = []

    async def read(reader: Store) -> None:
        last = 0
        while last < len(order) - 1:
            now = digests.index((await reader.get_manifest(REPOSITORY, SHARED)).digest)
            assert now >= last
            last = now
            seen.append(now)
            await asyncio.sleep(0.001)  # a reader without pauses keeps the GIL from the writer's threads

    async with Store.open(folder) as other, asyncio.TaskGroup() as tasks:
        for reader in (store, other, other):
            tasks.create_task(read(reader))
        for manifest in order[1:]:
            await store.put_manifest(REPOSITORY, manifest, [SHARED])
            # So that the readers see some of the moves, however slow they are.
            if (number := order.index(manifest)) % 4 == 0:
                await until(lambda number=number: seen and max(seen) >= number)  # type: ignore[misc]
    assert len(set(seen)) > 10


async def test_the_same_blob_is_pushed_and_deleted_by_all(folder: Path) -> None:
    async with Store.open(folder) as one, Store.open(folder) as other:

        async def push(store: Store) -> None:
            for _ in range(15):
                blob = await push_blob(store, b"wanted by all")
                with suppress(NotFound):
                    await store.delete_blob(REPOSITORY, blob.digest)

        async with asyncio.TaskGroup() as tasks:
            for store in (one, other, one, other):
                tasks.create_task(push(store))

        blob = await push_blob(one, b"wanted by all")
        assert await other.stat_blob(REPOSITORY, blob.digest) == blob


if __name__ == "__main__":
    asyncio.run({"obey": obey, "work": work}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:]))
