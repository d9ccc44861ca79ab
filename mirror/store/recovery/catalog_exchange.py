"""A rebuilt catalog takes the place of a lost or damaged one, which is kept aside. All calls block."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from mirror.oci.errors import CatalogFault
from mirror.runtime.error_advice import without_fix
from mirror.store.backup.catalog_snapshot import open_catalog, require_whole
from mirror.store.catalog.catalog_loss import require_catalog
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem


def catalog_problem(layout: DataLayout) -> str:
    """Return the reason for which the catalog must be rebuilt; empty if it is whole. Nobody else may use the folder."""
    try:
        require_catalog(layout)
    except CatalogFault as error:
        return without_fix(error)
    if not layout.catalog.exists():
        return f"{layout.catalog} is missing"
    try:
        with closing(open_catalog(layout.catalog, "rw")) as database:
            require_whole(database)
    except (CatalogFault, sqlite3.Error) as error:
        return f"{layout.catalog} is damaged ({without_fix(error)})"
    return ""


def exchange(layout: DataLayout, filesystem: Filesystem, now: datetime) -> Path | None:
    """Put the rebuilt catalog in place, and keep the old one aside.

    Args:
        layout: the data folder, with a closed catalog in ``recovering``.
        filesystem: changes files.
        now: the present time, for the name of the old catalog.

    Returns:
        The path of the old catalog; None if there was none.

    Raises:
        OSError: a file cannot be moved. The recovery can be run again.
    """
    rebuilt = DataLayout(layout.root, layout.recovering).catalog
    with rebuilt.open("rb") as file:
        filesystem.sync(file.fileno())
    aside = layout.catalog.with_name(f"{layout.catalog.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
    had_catalog = layout.catalog.exists()
    # The catalog leaves first: without it no store opens the folder. Its log must be gone before the new one comes,
    # because SQLite would write the log into it.
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            filesystem.rename(Path(f"{layout.catalog}{ending}"), Path(f"{aside}{ending}"))
    filesystem.sync_folder(layout.root)
    filesystem.rename(rebuilt, layout.catalog)
    filesystem.sync_folder(layout.root)
    shutil.rmtree(layout.recovering)
    return aside if had_catalog else None


def discard(layout: DataLayout) -> None:
    """Remove the rebuilt catalog. Raises OSError."""
    shutil.rmtree(layout.recovering)
