"""The database of the catalog that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.settings import Settings
from mirror.store.catalog.databases.sqlite_database import SqliteDatabase
from mirror.store.content.data_layout import DataLayout

if TYPE_CHECKING:
    from mirror.store.catalog.databases.catalog_database import CatalogDatabase


def catalog_database(settings: Settings) -> Callable[[DataLayout], CatalogDatabase]:
    """Return the function that opens the database of the catalog for a data folder."""
    wanted = settings.storage.catalog
    if wanted is None:
        return SqliteDatabase
    from mirror.store.catalog.databases.postgresql_database import PostgresqlAddress, PostgresqlDatabase

    address = PostgresqlAddress.parse(wanted.url, wanted.password_file)
    return PostgresqlDatabase.at(address, processes=settings.server.workers)


def catalog_copier(settings: Settings) -> Callable[[Path], str] | None:
    """Return a function that writes the catalog to a new file of SQLite, and returns its revision.

    Returns:
        None if the catalog is a file of the data folder itself.
    """
    if settings.storage.catalog is None:
        return None
    from mirror.store.backup.catalog_export import export_catalog

    def copy(file: Path) -> str:
        with closing(catalog_database(settings)(DataLayout(settings.storage.path))) as database:
            return export_catalog(database, file)

    return copy
