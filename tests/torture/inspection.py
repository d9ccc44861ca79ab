"""What lies in a data folder: every file has the bytes of its name, every row its file, and nothing else is there."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.torture.model import BrokenPromise

_KNOWN = {"blobs", "uploads", "locks", "generation", "reserve", "token.key"}
_CATALOG = re.compile(r"catalog\.sqlite(-wal|-shm)?")
_BLOB = re.compile(r"(sha256|sha512)/([0-9a-f]{2})/(\2[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Found:
    """How much was looked at."""

    files: int
    size_bytes: int


def inspect(data: Path) -> Found:
    """Look at a data folder whose server may be running, but is doing nothing.

    Raises `BrokenPromise` for the first thing that is not as it must be.
    """
    for path in data.iterdir():
        if path.name not in _KNOWN and not _CATALOG.fullmatch(path.name):
            raise BrokenPromise(f"a foreign file: {path}")
    sizes = _blobs(data / "blobs")
    with closing(sqlite3.connect(f"file:{data / 'catalog.sqlite'}?mode=ro", uri=True)) as catalog:
        for check in ("integrity_check", "foreign_key_check"):
            rows = catalog.execute(f"PRAGMA {check}").fetchall()
            if rows not in ([], [("ok",)]):
                raise BrokenPromise(f"{check} of the catalog: {rows}")
        for digest, size_bytes in catalog.execute("SELECT digest, size_bytes FROM blobs"):
            if sizes.get(digest) != size_bytes:
                raise BrokenPromise(f"{digest} has a row of {size_bytes} bytes and a file of {sizes.get(digest)}")
    return Found(len(sizes), sum(sizes.values()))


def leftovers(data: Path) -> list[str]:
    """What lies in `uploads`."""
    return sorted(str(path.relative_to(data)) for path in (data / "uploads").rglob("*"))


def _blobs(folder: Path) -> dict[str, int]:
    sizes = {}
    for path in folder.rglob("*"):
        if path.is_dir():
            continue
        match = _BLOB.fullmatch(str(path.relative_to(folder)))
        if match is None:
            raise BrokenPromise(f"a foreign file among the blobs: {path}")
        algorithm, _, name = match.groups()
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, algorithm).hexdigest()
        if actual != name:
            raise BrokenPromise(f"{path} holds other bytes, of digest {actual}")
        sizes[f"{algorithm}:{name}"] = path.stat().st_size
    return sizes
