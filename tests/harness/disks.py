"""Disks of any size, and read-only views of folders. Root is needed to mount them."""

import gc
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.readiness import wait_until
from tests.harness.requirement import require


@contextmanager
def small_disk(folder: Path, size_bytes: int, *, inodes: int | None = None) -> Iterator[Path]:
    """Mount a tmpfs of `size_bytes` bytes at `folder`, which is created. It has room for `inodes` files and folders."""
    _require_root()
    folder.mkdir()
    limit = "" if inodes is None else f",nr_inodes={inodes}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}{limit}", "none", folder], check=True)
    with _mounted(folder):
        yield folder


@contextmanager
def read_only_view(folder: Path, point: Path) -> Iterator[Path]:
    """Mount `folder` a second time at `point`, which is created, so that nobody can write below `point`."""
    _require_root()
    point.mkdir()
    subprocess.run(["mount", "--bind", "-o", "ro", folder, point], check=True)
    with _mounted(point):
        yield point


def fill_inodes(folder: Path, *, free: int = 0) -> list[Path]:
    """Create empty files until `free` inodes are left on the disk of `folder`. Return the files."""
    folder.mkdir(exist_ok=True)
    files = []
    while os.statvfs(folder).f_favail > free:
        files.append(folder / f"{len(files)}")
        files[-1].touch()
    return files


def _require_root() -> None:
    require(None if os.geteuid() == 0 else "mounting a disk needs root")


@contextmanager
def _mounted(point: Path) -> Iterator[None]:
    try:
        yield
    finally:
        gc.collect()  # ends connections to databases whose tests have failed
        # Busy for a moment if another process looks at all mounts.
        wait_until(
            lambda: subprocess.run(["umount", point], check=False, capture_output=True).returncode == 0,
            f"{point} to be unmounted",
        )
