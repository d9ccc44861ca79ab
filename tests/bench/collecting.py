"""`plugin-mirror gc` of a store with as much garbage as content, against docker-registry's `garbage-collect`.

Both collect the same tiny files, of images whose manifests were deleted. docker-registry must be stopped or read-only
meanwhile. Both are programs that end. Memory and CPU time in the table are those of the benchmark itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror.store.registry import Store
from tests.bench.packing import PEAK_MIB, placeholder, run_measured
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import OURS, REGISTRY, Server
from tests.bench.trial import Load, Trial
from tests.harness.docker_registry import PROGRAM as REGISTRY_PROGRAM
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import PROGRAM
from tests.support import many_images
from tests.support.many_images import SmallFile, SmallImage

#: Files of an image: manifest, config and layers.
_FILES_OF_AN_IMAGE = 5


def half_deleted(garbage_files: int) -> Iterator[SmallImage]:
    """Yield images of which half are deleted.

    Args:
        garbage_files: number of files of the deleted images, and of the others.
    """
    each = garbage_files // _FILES_OF_AN_IMAGE
    return many_images.images(each, each, layers=_FILES_OF_AN_IMAGE - 2)


@contextmanager
def collections(*, garbage_files: int) -> Iterator[Trial]:
    """Yield a trial of both collections. Each measurement has a fresh copy of the store. Counts removed files."""
    with tempfile.TemporaryDirectory(prefix="collecting-") as made:
        folder = Path(made)
        data, storage = folder / "data", folder / "storage"
        asyncio.run(_make(data))
        many_images.add(data, half_deleted(garbage_files))
        loads = {OURS: _load(_gc(folder), lambda: copy_store(data, folder / "run"), folder / "run", garbage_files)}
        if DockerRegistry.missing() is None:
            _write_storage(storage, half_deleted(garbage_files))
            loads[REGISTRY] = _load(
                _garbage_collect(folder), lambda: link_tree(storage, folder / "run"), folder / "run", garbage_files
            )
        contestants = [placeholder(name, port) for port, name in enumerate(loads, 1)]
        yield Trial(contestants, loads[OURS], loads)


def copy_store(data: Path, to: Path) -> None:
    """Copy a data folder that is not in use. The blobs are hard links, because nothing writes into them."""
    to.mkdir(mode=0o700)
    for entry in data.iterdir():
        if entry.name == "blobs":
            link_tree(entry, to / entry.name)
        elif entry.is_dir():
            shutil.copytree(entry, to / entry.name)
        else:
            shutil.copy2(entry, to / entry.name)


def link_tree(folder: Path, to: Path) -> None:
    """Make a copy of a folder whose files are hard links."""
    subprocess.run(["cp", "-al", str(folder), str(to)], check=True)


async def _make(data: Path) -> None:
    async with Store.open(data):
        pass


def _gc(folder: Path) -> str:
    return shlex.join([PROGRAM, "gc", "--grace", "0s", "--data", str(folder / "run")])


def _garbage_collect(folder: Path) -> str:
    config = folder / "config.yml"
    storage = {"filesystem": {"rootdirectory": str(folder / "run")}, "delete": {"enabled": True}}
    config.write_text(json.dumps({"version": "0.1", "log": {"level": "error"}, "storage": storage}))
    return shlex.join([REGISTRY_PROGRAM, "garbage-collect", str(config)])


def _load(command: str, prepare: Callable[[], None], run: Path, garbage_files: int) -> Load:
    def load(_server: Server, seconds: int) -> Outcome:
        taken_seconds: list[float] = []
        peaks_mib: list[float] = []
        errors = 0
        while sum(taken_seconds) < seconds or not taken_seconds:
            prepare()
            before = _count_blobs(run)
            os.sync()  # no run pays for the writes of another
            taken, peak_mib = run_measured(command)
            taken_seconds.append(taken)
            peaks_mib.append(peak_mib)
            errors += abs(before - _count_blobs(run) - garbage_files)
            shutil.rmtree(run)
        return Outcome(
            amount=garbage_files * len(taken_seconds),
            seconds=sum(taken_seconds),
            p50_seconds=percentile(taken_seconds, 50),
            p99_seconds=percentile(taken_seconds, 99),
            errors=errors,
            figures={PEAK_MIB: max(peaks_mib)},
        )

    return load


def _count_blobs(folder: Path) -> int:
    # docker-registry names the file of a blob "data", and keeps the folder of a removed blob out of the count so.
    blobs = next(path for path in (folder / "blobs", folder / "docker/registry/v2/blobs") if path.is_dir())
    return sum(len(files) for _, _, files in os.walk(blobs))


def _write_storage(storage: Path, made: Iterable[SmallImage]) -> None:
    """Write images as docker-registry stores them, and as it leaves those whose manifests were deleted."""
    root = storage / "docker/registry/v2"
    for image in made:
        repository = root / "repositories" / image.repository
        for file in (*image.blobs, image.manifest):
            _write(root / "blobs/sha256" / _hex(file)[:2] / _hex(file) / "data", file.content)
        for blob in image.blobs:
            _link(repository / "_layers/sha256" / _hex(blob), blob)
        if not image.is_deleted:
            _link(repository / "_manifests/revisions/sha256" / _hex(image.manifest), image.manifest)
            tag = repository / "_manifests/tags" / image.tag
            _link(tag / "current", image.manifest)
            _link(tag / "index/sha256" / _hex(image.manifest), image.manifest)


def _link(folder: Path, file: SmallFile) -> None:
    _write(folder / "link", file.digest.encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _hex(file: SmallFile) -> str:
    return file.digest.partition(":")[2]
