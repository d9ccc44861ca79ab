"""Adoption: a finished file becomes content that a repository holds. Bytes first, row second."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from mirror.oci import Digest
from mirror.oci.errors import CatalogFault, StorageFault
from mirror.store.bucket.object_rows import ObjectGone
from mirror.store.catalog import rows
from mirror.store.catalog.database import Catalog
from mirror.store.content.blob_files import BlobStorage

if TYPE_CHECKING:  # imported with a bucket only
    from mirror.store.bucket.stored_objects import StoredObjects


@dataclass(frozen=True, slots=True)
class Adoption:
    """The way of all content into the store.

    Attributes:
        catalog: the catalog that gets the rows.
        blobs: the storage that gets the files.
        objects: the objects of the bucket that holds the content; None if the files hold it.
    """

    catalog: Catalog
    blobs: BlobStorage
    objects: StoredObjects | None = None

    async def adopt(
        self, file: Path, digest: Digest, *, size_bytes: int, now: datetime, hold: Callable[[Connection], None]
    ) -> None:
        """Make a file the content of ``digest``, and write the rows of its holders, in one transaction.

        With a bucket, the content is written there first. The file moves to its place last, and the move is synced
        before the commit. A committed row therefore always has its bytes. Bytes without a row are garbage, as seen by
        a writer.

        Args:
            file: a finished, synced and verified file. It is in its new place when this returns, and still in its old
                place when this raises, except after CatalogFault.
            digest: the digest of the file.
            size_bytes: the size of the file.
            now: the time that the rows record.
            hold: writes the rows of the holders. An error that it raises is passed on, and nothing is changed.

        Raises:
            StorageFull, StorageFault: the disk failed.
            BucketUnreachable, BucketFault: the bucket failed.
            CatalogFault: the catalog failed. The file may have moved; it is then left to garbage collection.
        """
        if self.objects is None:
            await self._store(file, digest, size_bytes=size_bytes, now=now, hold=hold)
            return
        while True:
            key = await self.objects.put(digest, file, size_bytes)
            with suppress(ObjectGone):  # collected in between: the content is written again
                await self._store(file, digest, size_bytes=size_bytes, now=now, hold=hold, key=key)
                return

    async def _store(
        self,
        file: Path,
        digest: Digest,
        *,
        size_bytes: int,
        now: datetime,
        hold: Callable[[Connection], None],
        key: str = "",
    ) -> None:
        def store(connection: Connection) -> None:
            rows.add_content(connection, digest, size_bytes, now)
            hold(connection)
            if self.objects is not None:
                self.objects.use(connection, key, digest)
            self.blobs.adopt(file, digest)

        def take_back(connection: Connection) -> None:
            # A row means that the blob was stored before, or by another change since: it needs the file.
            if not rows.knows_content(connection, digest):
                self.blobs.withdraw(digest, file)

        try:
            await self.catalog.write(store)
        except CatalogFault:
            # The commit may or may not have become durable. The bytes must stay for a row that survives the next crash.
            raise
        except StorageFault:
            # The file moves back to its upload, which expires. A blob without a row would keep a full disk full.
            with suppress(StorageFault):
                await self.catalog.write(take_back)
            raise
