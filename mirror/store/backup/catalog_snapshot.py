"""Copy of the catalog for a backup: consistent, checked, and one file. All calls block."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mirror.oci import Digest
from mirror.oci.errors import CatalogFault, StorageFull
from mirror.runtime.files import private_files
from mirror.store.storage_errors import database_words

_BUSY_SECONDS: Final = 20.0
_ROWS_AT_ONCE: Final = 1000


def copy_live_catalog(catalog: Path, copy: Path) -> str:
    """Copy a catalog that other processes may be writing, and check the copy.

    Args:
        catalog: the catalog.
        copy: the new file. It is complete, synced and needs no ``-wal`` when this returns.

    Returns:
        The revision of the tables.

    Raises:
        CatalogFault: the catalog is damaged.
        StorageFull: the disk of the copy is full.
        OSError: the copy cannot be created or synced.
    """
    os.close(private_files.open_file(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        with closing(open_catalog(catalog)) as source, closing(open_catalog(copy, "rw")) as target:
            # The copy is synced as a whole.
            target.execute("PRAGMA synchronous=OFF")
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
            revision = require_whole(target)
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise StorageFull(
                f"{copy} cannot be written: the disk is full; fix: free some space and try again"
            ) from error
        raise _damaged(catalog, database_words(error)) from error
    except CatalogFault as error:
        raise _damaged(catalog, str(error)) from error
    sync_file(copy)
    return revision


def require_whole(database: sqlite3.Connection) -> str:
    """Check a catalog, and return the revision of its tables.

    Raises:
        CatalogFault: it is damaged, or has no tables.
        sqlite3.Error: it is damaged.
    """
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise CatalogFault("its bytes are damaged")
    if not database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]:
        raise CatalogFault("it has no tables")
    row = database.execute("SELECT version_num FROM alembic_version ORDER BY 1 DESC").fetchone()
    if row is None:
        raise CatalogFault("it has no revision")
    return str(row[0])


class CopiedCatalog:
    """The content that a copy of a catalog names. Made by :meth:`open`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, copy: Path) -> Iterator[CopiedCatalog]:
        """Open a copy, which nobody writes."""
        with closing(open_catalog(copy)) as database:
            yield cls(database)

    def blobs(self) -> Iterator[tuple[Digest, int]]:
        """Yield digest and size in bytes of all content, by digest."""
        found = self._database.execute("SELECT digest, size_bytes FROM blobs ORDER BY digest")
        while part := found.fetchmany(_ROWS_AT_ONCE):
            yield from ((Digest.parse(digest), size_bytes) for digest, size_bytes in part)

    def has(self, digest: Digest) -> bool:
        """Return True if the copy names some content."""
        found = self._database.execute("SELECT 1 FROM blobs WHERE digest = ?", (str(digest),))
        return found.fetchone() is not None


def open_catalog(file: Path, mode: str = "ro") -> sqlite3.Connection:
    """Open a catalog. Raises sqlite3.Error."""
    # A generator may be continued in another thread, never in two at once.
    return sqlite3.connect(
        f"file:{quote(str(file.absolute()))}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
        isolation_level=None,
    )


def sync_file(file: Path) -> None:
    """Make the bytes of a file durable. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(catalog: Path, why: str) -> CatalogFault:
    return CatalogFault(
        f"{catalog} is damaged ({why}), and no backup was made; an earlier backup is as it was; "
        "fix: stop the server and run 'plugin-mirror recover'"
    )
