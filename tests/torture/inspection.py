"""Check of a data folder: file names match content, rows match files, and no other files exist."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mirror.store.registry import Store
from tests.torture.model import BrokenPromise

_KNOWN = {"blobs", "damaged", "uploads", "locks", "generation", "reserve", "names.sqlite", "token.key"} | {
    f"reserve-{n}" for n in range(1, 9)
}
_CATALOG = re.compile(r"catalog\.sqlite(-wal|-shm)?")
_BLOB = re.compile(r"(sha256|sha512)/([0-9a-f]{2})/(\2[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Found:
    """Number and total size of the checked blobs."""

    files: int
    size_bytes: int


def inspect(data: Path) -> Found:
    """Check a data folder whose server may run but must be idle.

    Raises:
        BrokenPromise: For the first deviation.
    """
    for path in data.iterdir():
        if path.name not in _KNOWN and not _CATALOG.fullmatch(path.name):
            raise BrokenPromise(f"unknown file in the data folder: {path}")
    sizes = _blobs(data / "blobs")
    # Read-only, since the server may have the catalog open.
    with closing(sqlite3.connect(f"file:{data / 'catalog.sqlite'}?mode=ro", uri=True)) as catalog:
        for check in ("integrity_check", "foreign_key_check"):
            rows = catalog.execute(f"PRAGMA {check}").fetchall()
            if rows not in ([], [("ok",)]):
                raise BrokenPromise(f"{check} of the catalog reports {rows}")
        for digest, size_bytes in catalog.execute("SELECT digest, size_bytes FROM blobs"):
            if sizes.get(digest) != size_bytes:
                raise BrokenPromise(
                    f"{digest} has {size_bytes} bytes in the catalog but {sizes.get(digest)} bytes on disk"
                )
    return Found(len(sizes), sum(sizes.values()))


def leftovers(data: Path) -> list[str]:
    """Return the paths in `uploads`, relative to `data`."""
    return sorted(str(path.relative_to(data)) for path in (data / "uploads").rglob("*"))


async def expire(data: Path) -> int:
    """Expire all uploads, downloads and holds of content that nobody uses now. Return the number of the first two."""
    # A killed backup holds all content for ten minutes.
    with closing(sqlite3.connect(data / "catalog.sqlite")) as catalog, catalog:
        catalog.execute("UPDATE content_holders SET until = began_at")
    async with Store.open(data) as store:
        # A negative age also expires uploads that were used a moment ago.
        return await store.uploads.expire(timedelta(seconds=-1))


def _blobs(folder: Path) -> dict[str, int]:
    sizes = {}
    for path in folder.rglob("*"):
        if path.is_dir():
            continue
        match = _BLOB.fullmatch(str(path.relative_to(folder)))
        if match is None:
            raise BrokenPromise(f"unknown file among the blobs: {path}")
        algorithm, _, name = match.groups()
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, algorithm).hexdigest()
        if actual != name:
            raise BrokenPromise(f"the content of {path} has another digest: {actual}")
        sizes[f"{algorithm}:{name}"] = path.stat().st_size
    return sizes
