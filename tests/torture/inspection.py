"""Check of a data folder: file names match content, rows match files, and no other files exist."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mirror.events.audit_chain import entry_of
from mirror.events.audit_files import AuditFiles
from mirror.events.audit_verification import verify_audit
from mirror.store.registry import Store
from tests.torture.model import BrokenPromise

_KNOWN = (
    {"blobs", "damaged", "uploads", "locks", "generation", "reserve", "names.sqlite", "token.key"}
    | {"audit", "audit.key"}
    | {f"reserve-{n}" for n in range(1, 9)}
)
_CATALOG = re.compile(r"catalog\.sqlite(-wal|-shm)?")
_TAGS = """
SELECT repositories.name || ':' || tags.name, digest FROM tags JOIN repositories ON repositories.id = repository_id
"""
_BLOB = re.compile(r"(sha256|sha512)/([0-9a-f]{2})/(\2[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Found:
    """Number and total size of the checked blobs."""

    files: int
    size_bytes: int


def inspect(data: Path) -> Found:
    """Check a data folder whose server may run but must be idle.

    A data folder that has an audit must have had it from the start.

    Raises:
        BrokenPromise: For the first deviation.
    """
    for path in data.iterdir():
        if path.name not in _KNOWN and not _CATALOG.fullmatch(path.name):
            raise BrokenPromise(f"unknown file in the data folder: {path}")
    # First, because a server that is idle still moves changes from the catalog into the audit.
    _check_audit(data)
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


def _check_audit(data: Path) -> None:
    """Check that the audit is whole, and that for each tag it ends with what the tag points to."""
    with closing(sqlite3.connect(f"file:{data / 'catalog.sqlite'}?mode=ro", uri=True)) as catalog, catalog:
        catalog.execute("BEGIN")
        waiting = catalog.execute("SELECT id, kind, content FROM changes ORDER BY id").fetchall()
        tags = dict(catalog.execute(_TAGS))
    files = AuditFiles(data / "audit", most_bytes=0)
    if not files.paths():
        return  # a restored folder, which no server has opened
    if problems := verify_audit(files.read(), ()).problems:
        raise BrokenPromise(f"the audit is not whole: {problems[0]}")
    entries = [entry_of(line) for _, lines in files.read() for line in lines]
    entries += [{"change": number, "kind": kind, **json.loads(content)} for number, kind, content in waiting]
    # By their numbers: a change may have come into the files since the catalog was read.
    made = {entry["change"]: entry for entry in entries if entry["kind"].startswith("tag.")}
    last = {entry["subject"]: entry for _, entry in sorted(made.items())}
    for name in last.keys() | tags.keys():
        if last.get(name, {}).get("after") != tags.get(name):
            raise BrokenPromise(f"{name} is {tags.get(name)} in the catalog, and last in the audit {last.get(name)}")


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
