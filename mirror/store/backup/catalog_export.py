"""Files of SQLite that hold a catalog which is in another database. All calls block."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from mirror.oci.errors import CatalogFault, ConfigurationFault
from mirror.runtime.files import private_files
from mirror.store.backup.catalog_snapshot import sync_file
from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.catalog.databases.sqlite_database import file_engine
from mirror.store.catalog.databases.table_copy import copy_tables, count_rows, has_rows
from mirror.store.catalog.migrate import upgrade
from mirror.store.catalog.tables.catalog_format import HEAD
from mirror.store.storage_errors import storage_faults


def export_catalog(database: CatalogDatabase, file: Path) -> str:
    """Write the catalog of a database to a new file. The file is complete and synced when this returns.

    Returns:
        The revision of the tables.

    Raises:
        CatalogFault: the database failed.
        StorageFull, StorageFault: the file cannot be written.
    """
    with storage_faults(f"write {file}"):
        os.close(private_files.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    engine = file_engine(file)
    try:
        with storage_faults(f"write {file}", file), database.faults("read the catalog"):
            with engine.begin() as connection:
                upgrade(connection, HEAD)
                copy_tables(database.reading, connection)
            with closing(engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode=DELETE")
    finally:
        engine.dispose()
    with storage_faults(f"write {file}"):
        sync_file(file)
    return HEAD


def require_new(database: CatalogDatabase) -> None:
    """Check that a database has no catalog, or an empty one. Raises ConfigurationFault, CatalogFault."""
    database.make_ready()
    with database.faults("read the catalog"), database.reading.connect() as connection:
        if has_rows(connection):
            raise ConfigurationFault(
                f"{database.place} has a catalog already, and nothing was changed; fix: name an empty database"
            )


def import_catalog(source: CatalogDatabase, target: CatalogDatabase) -> int:
    """Copy a catalog of this version into a database that has none. Return the number of rows.

    Raises:
        ConfigurationFault: the target has a catalog.
        CatalogFault, StorageFull: a database failed, and the target is as it was.
    """
    require_new(target)
    with source.faults("read the catalog"), target.faults("write the catalog"), target.writing.begin() as connection:
        upgrade(connection, HEAD)
        number = copy_tables(source.reading, connection)
        target.count_change(connection)
        with source.reading.connect() as reading:
            if count_rows(reading) != count_rows(connection):
                raise CatalogFault(
                    f"{target.place} does not have the rows of {source.place}, and nothing was changed; fix: stop all "
                    "programs that use it, and try again"
                )
    return number
