"""Snapshot of the names in the catalog, from which a lost catalog is rebuilt. All calls block.

The snapshot is a small SQLite database beside the catalog. It has the rows that nobody could make again: names, owners,
decisions, users. Rows that are derived from the bytes of content are left out.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Table

from mirror.oci.errors import CatalogFault
from mirror.oci.timestamps import machine_time
from mirror.runtime.files import private_files
from mirror.store.catalog.tables import access_tables, bundle_tables, collection_tables, content_tables, sync_tables
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_errors import database_words

_BUSY_SECONDS: Final = 20.0
_ROWS_AT_ONCE: Final = 1000
#: Tables of the snapshot, each after those to which it refers.
SNAPSHOT_TABLES: Final[Sequence[Table]] = (
    content_tables.repositories,
    content_tables.blobs,
    content_tables.repository_blobs,
    content_tables.manifests,
    content_tables.tags,
    content_tables.incomplete_manifests,
    content_tables.incomplete_children,
    content_tables.absent_content,
    content_tables.derivations,
    content_tables.origins,
    collection_tables.doomed_files,
    collection_tables.pins,
    sync_tables.sync_rules,
    sync_tables.mirrored_tags,
    sync_tables.tag_events,
    sync_tables.pulls,
    access_tables.users,
    access_tables.user_tokens,
    access_tables.decisions,
    access_tables.rejections,
    access_tables.verdicts,
    access_tables.arrivals,
    access_tables.first_sights,
    bundle_tables.bundle_exports,
    bundle_tables.bundle_streams,
    bundle_tables.bundle_key_sets,
    bundle_tables.bundle_notes,
)


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """Description of a snapshot by itself.

    Attributes:
        revision: revision of the tables.
        generation: count of changes of the catalog at the time of the snapshot.
        taken_at: time of the snapshot.
    """

    revision: str
    generation: int
    taken_at: datetime


def write_names(layout: DataLayout, generation: int, now: datetime) -> int:
    """Write the snapshot of a catalog, in place of an earlier one.

    Args:
        layout: the data folder. Other processes may be writing its catalog.
        generation: count of changes, taken before this call.
        now: the present time.

    Returns:
        The size of the snapshot in bytes.

    Raises:
        sqlite3.Error: the catalog cannot be read, or the disk is full. The earlier snapshot stays.
        OSError: the snapshot cannot be written. The earlier one stays.
    """
    partial = layout.names.with_name(f"{layout.names.name}.part")
    partial.unlink(missing_ok=True)  # left by a crash
    try:
        descriptor = private_files.open_file(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            _fill(layout.catalog, partial, generation, now)
            os.fsync(descriptor)
            size_bytes = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        partial.replace(layout.names)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    # Not synced: after a crash of the machine the folder has this snapshot or the one before.
    return size_bytes


def _fill(catalog: Path, snapshot: Path, generation: int, now: datetime) -> None:
    with closing(sqlite3.connect(snapshot, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)) as database:
        # The snapshot is synced as a whole, and gets its name only then.
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA synchronous=OFF")
        database.execute("ATTACH DATABASE ? AS live", (f"file:{quote(str(catalog.absolute()))}?mode=ro",))
        # One transaction, so that all tables are of the same moment. The database does the work: no row is a Python
        # object, and other threads run meanwhile.
        database.execute("BEGIN")
        for table in SNAPSHOT_TABLES:
            columns = _columns(table)
            copy = f"CREATE TABLE main.{table.name} AS SELECT {columns} FROM live.{table.name}"  # noqa: S608 - our names
            database.execute(copy)
        database.execute(
            "CREATE TABLE main.snapshot AS SELECT version_num AS revision, ? AS generation, ? AS taken_at "
            "FROM live.alembic_version",
            (generation, machine_time(now)),
        )
        database.execute("COMMIT")


class NamesSource:
    """Rows of a snapshot, or of a catalog that is damaged. Made by :meth:`open`."""

    def __init__(self, database: sqlite3.Connection, file: Path) -> None:
        self._database = database
        self._file = file

    @classmethod
    @contextmanager
    def open(cls, file: Path) -> Iterator[NamesSource]:
        """Open the database. Damage shows when rows are read."""
        address = f"file:{quote(str(file.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as database:
            yield cls(database, file)

    def head(self) -> SnapshotHead:
        """Check a snapshot, and return what it says about itself.

        Raises:
            CatalogFault: this is no whole snapshot.
        """
        try:
            found = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found == "ok":
                row = self._database.execute("SELECT revision, generation, taken_at FROM snapshot").fetchone()
                return SnapshotHead(str(row[0]), int(row[1]), datetime.fromisoformat(row[2]).astimezone(UTC))
        except sqlite3.Error as error:
            raise self._damaged(database_words(error)) from error
        except (TypeError, ValueError) as error:
            raise self._damaged("it does not tell its revision and time") from error
        raise self._damaged("its bytes are damaged")

    def _damaged(self, why: str) -> CatalogFault:
        return CatalogFault(
            f"{self._file} is damaged ({why}); fix: remove it, and 'plugin-mirror recover' reads the catalog instead"
        )

    def revision(self) -> str:
        """Return the revision of the tables of a catalog. Raises sqlite3.Error, CatalogFault."""
        row = self._database.execute("SELECT version_num FROM alembic_version ORDER BY 1 DESC").fetchone()
        if row is None:
            raise CatalogFault("it has no revision")
        return str(row[0])

    def columns(self, table: Table) -> Sequence[str]:
        """Return the columns of a table that this database has; none if it does not have the table."""
        found = self._database.execute("SELECT name FROM pragma_table_info(?)", (table.name,))
        known = {name for (name,) in found}
        return [column.name for column in table.columns if column.name in known]

    def rows(self, table: Table) -> Iterator[list[Any]]:
        """Yield the rows of a table in parts, with the values of :meth:`columns`. Raises sqlite3.Error."""
        columns = ", ".join(f'"{name}"' for name in self.columns(table))
        found = self._database.execute(f"SELECT {columns} FROM {table.name}")  # noqa: S608 - our names
        while part := found.fetchmany(_ROWS_AT_ONCE):
            yield part


def snapshot_generation(layout: DataLayout) -> int | None:
    """Return the count of changes of the last snapshot; None if there is none that is whole."""
    if not layout.names.exists():
        return None
    with NamesSource.open(layout.names) as names:
        try:
            return names.head().generation
        except CatalogFault:
            return None


def _columns(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)
