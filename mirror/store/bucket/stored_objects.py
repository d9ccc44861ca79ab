"""Content in a bucket: objects are written before the rows that need them, and deleted after these rows."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import Connection

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.oci.errors import StorageDamaged
from mirror.oci.remote_storage_errors import BucketFault
from mirror.runtime.clock import Clock
from mirror.store.bucket import object_rows
from mirror.store.bucket.bucket_site import MARKER, require_site
from mirror.store.catalog.database import Catalog

if TYPE_CHECKING:
    from mirror.store.bucket.bucket import Bucket

_LOG = structlog.get_logger(__name__)
#: Age at which the process that wrote an object has died, or has to write it again.
_LONGEST_WRITE: Final = timedelta(days=1)


class StoredObjects:
    """The objects of a store's content (ADR 78).

    A key is never used twice. The deletion of an object can therefore never hit a later one with the same content, and
    no request to the bucket needs a condition.

    Args:
        catalog: the catalog that has the rows.
        bucket: the bucket.
        clock: the time of day.

    Attributes:
        bucket: the bucket.
    """

    def __init__(self, catalog: Catalog, bucket: Bucket, clock: Clock) -> None:
        self.bucket = bucket
        self._catalog = catalog
        self._clock = clock
        self._checking = asyncio.Lock()
        self._is_checked = False
        self._suspects: set[Digest] = set()

    async def require_site(self) -> None:
        """Check once that the bucket is that of this catalog, before anything is written or deleted there.

        Raises:
            ConfigurationFault: the bucket is that of another site.
            BucketUnreachable, BucketFault: the bucket failed. The next call asks again.
            CatalogFault: the catalog failed.
        """
        async with self._checking:
            if not self._is_checked:
                await require_site(self._catalog, self.bucket, self._clock.now())
                self._is_checked = True

    async def probe(self) -> None:
        """Check that the bucket answers. Raises BucketUnreachable, BucketFault, ConfigurationFault."""
        await self.require_site()
        if await self.bucket.find_size(MARKER) is None:
            raise BucketFault(f"{self.bucket.access.url} has no {MARKER} any more; fix: bring the objects back")

    async def find(self, digest: Digest) -> object_rows.StoredObject | None:
        """Return the object that holds content; None if there is none. Raises CatalogFault."""
        return await self._catalog.read(lambda connection: object_rows.find_stored(connection, digest))

    async def put(self, digest: Digest, file: Path, size_bytes: int) -> str:
        """Write a file to the bucket, unless the bucket holds its content. Nothing needs the object yet.

        Args:
            digest: the digest of the file, which is verified.
            file: the file.
            size_bytes: its size.

        Returns:
            The key for :meth:`use`.

        Raises:
            BucketUnreachable, BucketFault: the bucket failed. An object that was written is collected.
            CatalogFault: the catalog failed.
        """
        found = await self.find(digest)
        if found is not None:
            return found.key
        await self.require_site()
        key, now = _new_key(digest), self._clock.now()
        # The row first: an object of which no row tells would stay for ever.
        await self._catalog.write_uncached(
            lambda connection: object_rows.note_intent(connection, key, digest, size_bytes, now)
        )
        await self.bucket.put_file(key, file, size_bytes)
        return key

    def use(self, connection: Connection, key: str, digest: Digest) -> None:
        """Let content need an object, in the transaction that writes the row of the content. Blocks.

        Raises:
            ObjectGone: the object was doomed since :meth:`put`.
        """
        if not object_rows.note_stored(connection, key, digest, self._clock.now()):
            raise object_rows.ObjectGone

    def suspect(self, digest: Digest) -> None:
        """Remember that a read found the object of content damaged. The next examination reads all of it."""
        self._suspects.add(digest)

    async def examine(self, digest: Digest, size_bytes: int) -> tuple[str, str]:
        """Compare the object of content with its size, and a suspect one with its digest.

        Args:
            digest: the content.
            size_bytes: its size.

        Returns:
            The key, and what is wrong with the object. The first is empty if there is no object, the second if nothing
            is wrong.

        Raises:
            BucketUnreachable, BucketFault: the bucket failed, which says nothing about the object.
        """
        found = await self.find(digest)
        if found is None:
            return "", "the file is missing"
        held_bytes = await self.bucket.find_size(found.key)
        if held_bytes is None:
            return found.key, "the object is missing from the bucket"
        if held_bytes != size_bytes:
            return found.key, f"the object in the bucket has {held_bytes} bytes, not {size_bytes}"
        if digest not in self._suspects:
            return found.key, ""
        problem = await self._compare(found, size_bytes)
        self._suspects.discard(digest)
        return found.key, problem

    async def _compare(self, found: object_rows.StoredObject, size_bytes: int) -> str:
        hasher, read_bytes = new_hasher(found.digest.algorithm), 0
        try:
            _, pieces = await self.bucket.read(found.key)
            async for piece in pieces:
                hasher.update(piece)
                read_bytes += len(piece)
        except StorageDamaged:
            return "the object is missing from the bucket"
        if read_bytes == size_bytes and hasher.hexdigest() == found.digest.hex:
            return ""
        return "the object in the bucket has another digest"

    async def remove_doomed(self, grace: timedelta, most: int) -> int:
        """Delete objects that were doomed long enough ago. Return their number.

        An object that the bucket does not delete now is deleted later.

        Args:
            grace: time for which a doomed object stays.
            most: largest number of objects.

        Raises:
            CatalogFault: the catalog failed.
        """
        now = self._clock.now()
        await self._doom_left(now)
        keys = await self._catalog.read(lambda connection: object_rows.due_objects(connection, now - grace, most))
        deleted: list[str] = []
        try:
            if keys:
                await self.require_site()
            for key in keys:
                await self.bucket.delete(key)
                deleted.append(key)
        except BucketFault as error:
            _LOG.warning("objects not deleted yet", objects=len(keys) - len(deleted), error=str(error))
        if deleted:
            await self._catalog.write_uncached(lambda connection: object_rows.forget_doomed(connection, deleted))
        return len(deleted)

    async def _doom_left(self, now: datetime) -> None:
        before = now - _LONGEST_WRITE
        if await self._catalog.read(lambda connection: object_rows.has_left_intents(connection, before)):
            await self._catalog.write_uncached(
                lambda connection: object_rows.doom_left_intents(connection, before, now)
            )


def _new_key(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}/{uuid.uuid4().hex}"
