"""Copies the catalog before its tables are changed. All calls block."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from mirror.oci.errors import CatalogFault, StorageFull
from mirror.runtime.files import private_files
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_errors import database_words

#: Bytes that must stay free beside the copy, because the migration needs space too.
_ROOM_BYTES: Final = 4 * 1024 * 1024


def copy_catalog(layout: DataLayout, revision: str) -> Path:
    """Copy the catalog to a file beside it. Call it in a writer's turn, before the writer changes anything.

    Args:
        layout: the data folder.
        revision: the revision of the catalog's tables. An earlier copy of this revision is replaced.

    Returns:
        The copy: one complete, durable file without a ``-wal``.

    Raises:
        StorageFull: the disk has no space for the copy.
        CatalogFault, OSError: the catalog cannot be copied.
    """
    copy = layout.catalog_copy(revision)
    unfinished = copy.with_name(f"{copy.name}.part")
    _require_room(layout, copy)
    unfinished.unlink(missing_ok=True)  # left by a crash
    try:
        descriptor = private_files.open_file(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            _fill(layout.catalog, unfinished)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.replace(copy)
        _sync_folder(layout.state)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return copy


def _require_room(layout: DataLayout, copy: Path) -> None:
    size_bytes = sum(file.stat().st_size for file in layout.state.glob(f"{layout.catalog.name}*"))
    # The copy has the pages of the -wal too, so all files of the catalog count.
    free_bytes = shutil.disk_usage(layout.state).free
    if free_bytes < size_bytes + _ROOM_BYTES:
        raise _no_room(copy, f"{size_bytes + _ROOM_BYTES} bytes are needed, and {free_bytes} are free")


def _fill(catalog: Path, copy: Path) -> None:
    try:
        with closing(sqlite3.connect(catalog)) as source, closing(sqlite3.connect(copy)) as target:
            source.execute("PRAGMA query_only=ON")
            # The copy needs no journal and no syncs of its own: it is synced as a whole, and gets its name only then.
            target.execute("PRAGMA journal_mode=OFF")
            target.execute("PRAGMA synchronous=OFF")
            source.backup(target)
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise _no_room(copy, "the disk is full") from error
        why = database_words(error)
        told = f"the catalog cannot be copied to {copy}: {why}; fix: look at the disk of {copy.parent} (dmesg)"
        raise CatalogFault(told, code=error.sqlite_errorname) from error


def _no_room(copy: Path, why: str) -> StorageFull:
    return StorageFull(
        f"the catalog must be copied before its tables are changed, and there is no space for {copy} ({why}); "
        "nothing was changed; fix: free some space and start again"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
