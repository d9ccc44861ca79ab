"""Rebuilds a catalog from the files of blobs, and the rows of a snapshot or of the damaged catalog. All calls block."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Table, create_engine

from mirror.oci import Digest, Repository
from mirror.oci.errors import CatalogFault, DigestInvalid, NameInvalid
from mirror.runtime.files import private_files
from mirror.store.catalog.migrate import knows_revision, upgrade
from mirror.store.catalog.tables.catalog_format import HEAD
from mirror.store.content.blob_files import BlobStorage
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.recovery.names_snapshot import SNAPSHOT_TABLES, NamesSource

_SALVAGED: Final = "salvaged.sqlite"
#: Removes rows about content whose file is missing, in this order.
_PRUNING: Final = (
    "DELETE FROM repository_blobs WHERE digest NOT IN (SELECT digest FROM blobs)",
    "DELETE FROM manifests WHERE digest NOT IN (SELECT digest FROM blobs)",
    "DELETE FROM repository_blobs WHERE repository_id NOT IN (SELECT id FROM repositories)",
    "DELETE FROM manifests WHERE repository_id NOT IN (SELECT id FROM repositories)",
    "DELETE FROM tags WHERE (repository_id, digest) NOT IN (SELECT repository_id, digest FROM manifests)",
    "DELETE FROM repositories WHERE id NOT IN (SELECT repository_id FROM repository_blobs) "
    "AND id NOT IN (SELECT repository_id FROM manifests)",
    "DELETE FROM incomplete_manifests WHERE digest NOT IN (SELECT digest FROM blobs)",
    "DELETE FROM incomplete_children WHERE (repository, manifest) NOT IN "
    "(SELECT repository, digest FROM incomplete_manifests)",
    "DELETE FROM derivations WHERE digest NOT IN (SELECT digest FROM blobs)",
    "DELETE FROM doomed_files WHERE digest NOT IN (SELECT digest FROM present) OR digest IN (SELECT digest FROM blobs)",
    'DELETE FROM user_tokens WHERE "user" NOT IN (SELECT name FROM users)',
    "DELETE FROM rejections WHERE (repository, digest) NOT IN (SELECT repository, digest FROM decisions)",
)
_LOST_TAGS: Final = (
    "SELECT repositories.name, tags.name, tags.digest FROM tags JOIN repositories ON id = repository_id "
    "WHERE (repository_id, digest) NOT IN (SELECT repository_id, digest FROM manifests) "
    "OR digest NOT IN (SELECT digest FROM blobs) ORDER BY 1, 2"
)
_UNKNOWN: Final = (
    "SELECT digest, size_bytes FROM present WHERE digest NOT IN (SELECT digest FROM blobs) "
    "AND digest NOT IN (SELECT digest FROM doomed_files) AND digest NOT IN (SELECT digest FROM damaged_before) "
    "ORDER BY digest"
)


@dataclass(slots=True)
class RebuiltCatalog:
    """A catalog that was rebuilt, and what is known about it.

    Attributes:
        taken_at: time of the snapshot of names; None if the rows are those of the damaged catalog, or none.
        is_salvaged: True if rows of the damaged catalog were used.
        lost_tags: tags whose manifest is missing: name and digest.
        wrong_sizes: files with another size than recorded, by digest.
        unread_tables: tables of the damaged catalog of which only a part could be read.
        unknown: content without any row: digest and size in bytes.
    """

    taken_at: datetime | None = None
    is_salvaged: bool = False
    lost_tags: list[tuple[str, str]] = field(default_factory=list)
    wrong_sizes: list[str] = field(default_factory=list)
    unread_tables: list[str] = field(default_factory=list)
    unknown: list[tuple[Digest, int]] = field(default_factory=list)


def prepare(layout: DataLayout, filesystem: Filesystem) -> None:
    """Make the folders of the blobs, and an empty one for the catalog. Raises OSError."""
    for folder in layout.folders():
        filesystem.make_folder(folder)
    shutil.rmtree(layout.recovering, ignore_errors=True)
    filesystem.make_folder(layout.recovering)


def rebuild(layout: DataLayout, blobs: BlobStorage) -> RebuiltCatalog:
    """Rebuild the catalog in the folder that :func:`prepare` made, in a data folder that nobody else uses.

    Args:
        layout: the data folder.
        blobs: its blobs.

    Raises:
        CatalogFault: the rows are those of a later version of the program.
        sqlite3.Error, OSError: the new catalog cannot be written.
    """
    rebuilt = RebuiltCatalog()
    source, revision = _source(layout, rebuilt)
    if not knows_revision(revision):
        raise CatalogFault(
            f"the names are those of revision {revision}, which this version does not know; "
            "fix: use the version that served this data folder last"
        )
    file = DataLayout(layout.root, layout.recovering).catalog
    # SQLite would make the file that of the user who recovers.
    os.close(private_files.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    _make_tables(file, revision)
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        # A killed recovery begins anew, so nothing is synced before the end.
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA temp_store=FILE")
        database.execute("BEGIN")
        # A new catalog has no work left. This one gets content, of which the derived rows are missing.
        database.execute("DELETE FROM finished_work")
        _list_files(database, blobs)
        if source is not None:
            with NamesSource.open(source) as names:
                _copy(database, names, rebuilt)
        _prune(database, rebuilt)
        database.execute("COMMIT")
    (layout.recovering / _SALVAGED).unlink(missing_ok=True)
    return rebuilt


def _source(layout: DataLayout, rebuilt: RebuiltCatalog) -> tuple[Path | None, str]:
    """Return the database with the rows, and the revision of its tables."""
    if layout.names.exists():
        with suppress(CatalogFault), NamesSource.open(layout.names) as names:
            head = names.head()
            rebuilt.taken_at = head.taken_at
            return layout.names, head.revision
    if not layout.catalog.is_file():
        return None, HEAD
    # A copy: SQLite would change the files of the damaged catalog.
    copy = layout.recovering / _SALVAGED
    shutil.copyfile(layout.catalog, copy)
    with suppress(FileNotFoundError):
        shutil.copyfile(f"{layout.catalog}-wal", f"{copy}-wal")
    try:
        with NamesSource.open(copy) as names:
            revision = names.revision()
    except (sqlite3.Error, CatalogFault):
        return None, HEAD
    rebuilt.is_salvaged = True
    return copy, revision


def _make_tables(file: Path, revision: str) -> None:
    engine = create_engine(URL.create("sqlite", database=str(file)))
    try:
        with engine.begin() as connection:
            upgrade(connection, revision)
    finally:
        engine.dispose()


def _list_files(database: sqlite3.Connection, blobs: BlobStorage) -> None:
    database.execute("CREATE TEMP TABLE present (digest TEXT PRIMARY KEY, size_bytes INTEGER) WITHOUT ROWID")
    database.execute("CREATE TEMP TABLE damaged_before (digest TEXT PRIMARY KEY) WITHOUT ROWID")
    for first in range(256):
        found = blobs.list_files(f"{first:02x}")
        named = [(digest, size_bytes) for digest, size_bytes, _ in found if _is_digest(digest)]
        database.executemany("INSERT INTO present VALUES (?, ?)", named)


def _copy(database: sqlite3.Connection, names: NamesSource, rebuilt: RebuiltCatalog) -> None:
    for table in SNAPSHOT_TABLES:
        try:
            columns = names.columns(table)
            if not columns:
                continue
            for part in names.rows(table):
                _insert(database, table, columns, part)
        except sqlite3.DatabaseError:
            rebuilt.unread_tables.append(table.name)


def _insert(database: sqlite3.Connection, table: Table, columns: Sequence[str], part: Iterable[Any]) -> None:
    places = ", ".join("?" * len(columns))
    names = ", ".join(f'"{name}"' for name in columns)
    insert = f"INSERT OR IGNORE INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608 - names of our columns
    database.executemany(insert, part)


def _prune(database: sqlite3.Connection, rebuilt: RebuiltCatalog) -> None:
    """Remove the rows about content that is not there, and note it."""
    for number, name in database.execute("SELECT id, name FROM repositories").fetchall():
        try:
            Repository(name)
        except (NameInvalid, TypeError):  # in a damaged catalog
            database.execute("DELETE FROM repositories WHERE id = ?", (number,))
    database.execute(
        "INSERT INTO damaged_before SELECT digest FROM blobs JOIN present USING (digest) "
        "WHERE blobs.size_bytes <> present.size_bytes"
    )
    rebuilt.wrong_sizes = [digest for (digest,) in database.execute("SELECT digest FROM damaged_before")]
    database.execute(
        "DELETE FROM blobs WHERE digest NOT IN (SELECT digest FROM present) "
        "OR digest IN (SELECT digest FROM damaged_before)"
    )
    lost = database.execute(_LOST_TAGS)
    rebuilt.lost_tags = [(f"{repository}:{tag}", digest) for repository, tag, digest in lost]
    for statement in _PRUNING:
        database.execute(statement)
    rebuilt.unknown = [(Digest.parse(digest), size_bytes) for digest, size_bytes in database.execute(_UNKNOWN)]


def _is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except DigestInvalid:
        return False
    return True
