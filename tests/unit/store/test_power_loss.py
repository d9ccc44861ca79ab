"""Power loss at any call of a store's life: acknowledged content is there afterwards.

Unsynced changes may be lost or kept, independently for each name and each file. This models the weakest filesystem.
SQLite syncs each commit of the catalog. ``tests/e2e/test_durability.py`` repeats the test with real system calls.
"""

import os
import random
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from mirror.store.content.filesystem import Filesystem
from mirror.store.registry import Store
from tests.torture.inspection import inspect, leftovers
from tests.torture.model import Outcome
from tests.unit.store.story import Story, expire


class PowerCut(Exception):
    """The power is off. Every further call fails."""


class VolatileFilesystem(Filesystem):
    """A filesystem that records which changes a power loss would undo.

    Everything before the first call is durable. Afterwards the bytes of a file are durable once the file is synced, and
    a name once its folder is synced.

    Args:
        kept: an empty folder on the same disk, for files that have lost their name.
        cut_at: number of the call at which the power fails; None: never.
    """

    def __init__(self, kept: Path, cut_at: int | None = None) -> None:
        self.calls = 0
        self._kept = kept
        self.cut_at = cut_at
        #: Folder → name → the files that may have that name after a power cut; None: none.
        self._names: defaultdict[Path, dict[str, list[Path | None]]] = defaultdict(dict)
        self._synced_bytes: dict[int, bytes] = {}

    def make_folder(self, folder: Path) -> None:
        self._call()
        if not folder.exists():
            super().make_folder(folder)
            self._names[folder.parent].setdefault(folder.name, [None]).append(folder)

    def create(self, file: Path) -> int:
        self._call()
        descriptor = super().create(file)
        self._synced_bytes[os.fstat(descriptor).st_ino] = b""
        self._renamed(file, self._keep(file))
        return descriptor

    def write(self, descriptor: int, content: bytes | bytearray, offset: int) -> None:
        self._call()
        super().write(descriptor, content, offset)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        self._call()
        super().truncate(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        self._call()
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if path.is_dir():
            names = self._names.pop(path, {})
            self._names[path] = {name: files[-1:] for name, files in names.items()}
        else:
            self._synced_bytes[os.fstat(descriptor).st_ino] = path.read_bytes()

    def rename(self, source: Path, target: Path) -> None:
        self._call()
        if target.exists():
            self._names[target.parent].setdefault(target.name, [self._keep(target)])
        moved = self._keep(source)
        super().rename(source, target)
        self._renamed(source, None)
        self._renamed(target, moved)

    def remove(self, file: Path) -> None:
        self._call()
        if file.exists():
            self._names[file.parent].setdefault(file.name, [self._keep(file)])
            super().remove(file)
            self._renamed(file, None)

    def remove_folder(self, folder: Path) -> None:
        self._call()
        super().remove_folder(folder)
        self._names[folder.parent].setdefault(folder.name, [folder]).append(None)

    def lose(self, chances: random.Random) -> None:
        """Change the data folder into a random state that a power loss may leave."""
        for folder, names in sorted(self._names.items()):  # a folder comes before what is in it
            for name, files in names.items():
                path, left = folder / name, chances.choice(files)
                if left is None or not folder.is_dir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                elif left == path:
                    path.mkdir(exist_ok=True)
                else:
                    path.unlink(missing_ok=True)
                    path.write_bytes(self._left_of(left, chances))

    def _left_of(self, file: Path, chances: random.Random) -> bytes:
        now, synced = file.read_bytes(), self._synced_bytes.get(file.stat().st_ino)
        if synced is None or synced == now:
            return now
        return chances.choice([synced, now, now[: len(now) // 2], synced + bytes(len(now) - len(synced))])

    def _renamed(self, path: Path, now: Path | None) -> None:
        self._names[path.parent].setdefault(path.name, [None]).append(now)

    def _keep(self, file: Path) -> Path:
        kept = self._kept / str(file.stat().st_ino)
        if not kept.exists():
            os.link(file, kept)  # the link keeps the inode number from being reused
        return kept

    def _call(self) -> None:
        if self.cut_at is not None and self.calls >= self.cut_at:
            raise PowerCut
        self.calls += 1


@pytest.mark.parametrize("seed", [0])
async def test_the_power_goes_off_at_each_call(folder: Path, tmp_path: Path, seed: int, whole: bool) -> None:
    chances = random.Random(seed)
    stride = 1 if whole else 6
    async with Store.open(folder) as store:  # an empty store, which is durable
        await expire(store)

    outcomes = set()
    cut_at = 0
    while True:
        kept = tmp_path / "kept"
        kept.mkdir()
        story = Story(cut_at)
        disk = VolatileFilesystem(kept)
        steps = list(story.steps())
        done = 0
        async with Store.open(folder, filesystem=disk) as store:
            disk.cut_at = disk.calls + cut_at
            try:
                for _, do, change in steps:
                    await do(store)
                    if change is not None:
                        story.known.done(change)
                    done += 1
            except PowerCut:
                change = steps[done][2]
                if change is not None:
                    story.known.unanswered(change)
        disk.lose(chances)
        shutil.rmtree(kept)

        async with Store.open(folder) as store:
            outcomes.add(story.known.found(await story.look(store)))
            inspect(folder)
            await expire(store)
            assert leftovers(folder) == []
            if done == len(steps):
                break
            for _, do, change in steps[done:]:
                await do(store)
                if change is not None:
                    story.known.done(change)
            story.known.found(await story.look(store))
        cut_at += stride

    assert cut_at > 60
    assert outcomes == set(Outcome)
