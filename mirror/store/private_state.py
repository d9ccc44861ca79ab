"""Use of a data folder that cannot be written: the blobs stay in place, and everything that changes is a private copy.

The copy has the catalog, the key of the tokens, and the locks and counts of the processes. The store works on the copy
as on any catalog: an older one is migrated, and records are written to it and are gone with it (ADR 43).
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mirror.store.catalog.catalog_loss import require_catalog
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.folder_access import require_reading
from mirror.store.storage_errors import storage_faults
from mirror.store.storage_threads import in_thread

_BUSY_SECONDS: Final = 20.0


@contextmanager
def private_state(root: Path, copy_catalog: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Yield a temporary folder with a copy of the files of a data folder that change. Blocks.

    Args:
        root: the data folder. Nothing is written to it. A server may be running on it.
        copy_catalog: writes the catalog to a new file, if it is in a database elsewhere.

    Raises:
        CatalogFault: there is content and no catalog.
        StorageFault, StorageFull: the data folder cannot be read, or the copy cannot be written.
    """
    with ExitStack() as stack:
        with storage_faults(f"copy the catalog of {root} to $TMPDIR"):
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="plugin-mirror-"))
            state = Path(made)
            layout, copy = DataLayout(root), DataLayout(root, state)
            require_reading(layout)
            if copy_catalog is not None:
                copy_catalog(copy.catalog)
            else:
                require_catalog(layout)
                if layout.catalog.exists():
                    _copy_catalog(layout.catalog, copy.catalog)
            with suppress(FileNotFoundError, PermissionError):  # without the key, tokens of other servers are unknown
                copy.token_key.write_bytes(layout.token_key.read_bytes())
        yield state


@asynccontextmanager
async def opened_private_state(root: Path, copy_catalog: Callable[[Path], object] | None = None) -> AsyncIterator[Path]:
    """Yield the folder of :func:`private_state` without blocking the event loop."""
    with ExitStack() as stack:
        yield await in_thread("copy the catalog to $TMPDIR", stack.enter_context, private_state(root, copy_catalog))


def _copy_catalog(catalog: Path, copy: Path) -> None:
    log, copied_log = (file.with_name(f"{file.name}-wal") for file in (catalog, copy))
    # A log exists while a process has the catalog open, or where a snapshot was taken of an open one.
    if log.exists():
        with suppress(sqlite3.Error):
            _back_up(catalog, copy)
            return
        # Without its -shm, SQLite does not read the log of a catalog on a read-only disk. Nobody writes there either,
        # so that plain copies of both files belong together.
        copy.unlink(missing_ok=True)
        shutil.copyfile(log, copied_log)
    shutil.copyfile(catalog, copy)


def _back_up(catalog: Path, copy: Path) -> None:
    """Copy a catalog that other processes may be writing."""
    address = f"file:{quote(str(catalog.absolute()))}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
