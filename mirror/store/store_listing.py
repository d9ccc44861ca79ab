"""Lists of a store's content, read with the driver of the database alone. All calls block.

A command that lists what is there would spend more time on importing SQLAlchemy than on all else. The lists are those
of :class:`mirror.store.registry.Store`. A store in any other state than the usual one is left to that class: it updates
an earlier catalog, reads a folder that nobody may write, and tells what is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.store.catalog.catalog_loss import require_catalog
from mirror.store.catalog.tables.catalog_format import HEAD, MANIFESTS_INDEXED
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.folder_access import can_write, require_access
from mirror.store.content.folder_use import require_restored, shared_use

_BUSY_SECONDS: Final = 20.0

_REPOSITORIES: Final = """
    SELECT name, id FROM repositories
    WHERE EXISTS (SELECT 1 FROM tags WHERE tags.repository_id = repositories.id)
       OR EXISTS (SELECT 1 FROM repository_blobs WHERE repository_blobs.repository_id = repositories.id)
    ORDER BY name
"""
_NAMES: Final = "SELECT name FROM tags WHERE repository_id = ? ORDER BY name"
_TAGS: Final = """
    SELECT tags.name, manifests.digest, manifests.media_type, blobs.size_bytes FROM tags
    JOIN manifests ON manifests.repository_id = tags.repository_id AND manifests.digest = tags.digest
    JOIN blobs ON blobs.digest = manifests.digest
    WHERE tags.repository_id = ? ORDER BY tags.name
"""
_ABSENT: Final = """
    SELECT manifest, digest, reason, detail FROM absent_content
    WHERE repository = :name
      AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository_id = :id AND digest = absent_content.digest)
      AND NOT EXISTS (SELECT 1 FROM repository_blobs WHERE repository_id = :id AND digest = absent_content.digest)
    ORDER BY manifest, digest
"""


class NotListed(Exception):
    """The content cannot be listed here. The store itself can, or tells what is wrong."""


class StoreListing:
    """The content of a store at one moment. Made by :meth:`open`."""

    def __init__(self, layout: DataLayout, catalog: sqlite3.Connection) -> None:
        self._layout = layout
        self._catalog = catalog

    @classmethod
    @contextmanager
    def open(cls, root: Path, *, has_catalog: bool = True) -> Iterator[StoreListing]:
        """Open the store in a data folder for the block. Nothing in the store is changed.

        Args:
            root: the data folder.
            has_catalog: False if the catalog is in another database.

        Raises:
            NotListed: the folder or its catalog is not in its usual state, or the block met an error.
        """
        layout = DataLayout(root)
        try:
            if not has_catalog or not layout.catalog.is_file() or not can_write(root):
                raise NotListed
            require_access(layout)
            require_restored(layout)
            require_catalog(layout)
            address = f"file:{quote(str(layout.catalog.absolute()))}?mode=rw"
            with (
                shared_use(layout),
                closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as catalog,
            ):
                catalog.execute("PRAGMA query_only=ON")
                catalog.execute("BEGIN")
                listing = cls(layout, catalog)
                listing._require_usual()
                yield listing
        except (MirrorError, OSError, sqlite3.Error, UnicodeError) as error:
            raise NotListed from error

    def repositories(self) -> dict[Repository, list[Tag]]:
        """Return the tags of each repository, in the order of names."""
        return {
            Repository(name): [Tag(tag) for (tag,) in self._catalog.execute(_NAMES, (number,))]
            for name, number in self._catalog.execute(_REPOSITORIES).fetchall()
        }

    def tags(self, repository: Repository) -> Iterator[tuple[Tag, Manifest]]:
        """Yield each tag of a repository with its manifest. Raises NotListed if there is no such repository."""
        found = self._catalog.execute(_TAGS, (self._number(repository),)).fetchall()
        for tag, digest, media_type, size_bytes in found:
            yield Tag(tag), self._manifest(Digest.parse(digest), media_type, size_bytes)

    def absent_content(self, repository: Repository) -> Sequence[AbsentContent]:
        """Return what the manifests of a repository lack. Raises NotListed if there is no such repository."""
        wanted = {"name": repository.name, "id": self._number(repository)}
        return [
            AbsentContent(Digest.parse(manifest), Digest.parse(digest), AbsenceReason(reason), detail)
            for manifest, digest, reason, detail in self._catalog.execute(_ABSENT, wanted)
        ]

    def _require_usual(self) -> None:
        """Check that the catalog needs neither an update nor the work after one."""
        formats = self._catalog.execute("SELECT version_num FROM alembic_version").fetchall()
        finished = self._one("SELECT name FROM finished_work WHERE name = ?", MANIFESTS_INDEXED)
        if formats != [(HEAD,)] or finished is None:
            raise NotListed

    def _number(self, repository: Repository) -> int:
        found: int | None = self._one("SELECT id FROM repositories WHERE name = ?", repository.name)
        if found is None:
            raise NotListed
        return found

    def _one(self, statement: str, value: str) -> Any:
        row = self._catalog.execute(statement, (value,)).fetchone()
        return row and row[0]

    def _manifest(self, digest: Digest, media_type: str, size_bytes: int) -> Manifest:
        content = self._layout.blob(digest).read_bytes()
        if len(content) != size_bytes:
            raise NotListed
        return Manifest.parse_stored(content, media_type, digest)
