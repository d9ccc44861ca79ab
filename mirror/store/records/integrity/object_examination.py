"""Examination of content that a bucket holds: files of the cache, and their objects."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog
from sqlalchemy import Connection, select

from mirror.oci import Digest
from mirror.records.lifecycle.damage import ExaminationResult, StoredContent
from mirror.store.bucket import object_rows
from mirror.store.bucket.stored_objects import StoredObjects
from mirror.store.catalog import damage_rows
from mirror.store.catalog.database import Catalog
from mirror.store.catalog.tables.collection_tables import damaged_content
from mirror.store.content.blob_examination import ExaminedFile
from mirror.store.content.blob_files import BlobStorage

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectExamination:
    """Examines objects, and drops damaged files of the cache.

    Attributes:
        catalog: the catalog.
        blobs: the files of the cache.
        objects: the objects.
    """

    catalog: Catalog
    blobs: BlobStorage
    objects: StoredObjects

    async def those_stored(self, found: Mapping[Digest, bytes]) -> dict[Digest, bytes]:
        """Return the content among some that an object holds."""
        names = [str(digest) for digest in found]
        stored = await self.catalog.read(lambda connection: object_rows.stored_of(connection, names))
        return {digest: content for digest, content in found.items() if str(digest) in stored}

    async def examine(
        self, content: StoredContent, examined: ExaminedFile
    ) -> tuple[str, ExaminedFile, ExaminationResult | None]:
        """Examine the object of content whose file was examined.

        Returns:
            The key of a damaged object, the result for the content as a whole, and what was decided; None if that is
            left to decide.

        Raises:
            BucketUnreachable, BucketFault: the bucket failed, which says nothing about the content.
        """
        if not examined.problem:
            if await self.objects.find(content.digest) is None:
                await self._upload(content.digest, examined.size_bytes)
            return "", examined, None
        key, problem = await self.objects.examine(content.digest, content.size_bytes)
        if problem:
            return key, replace(examined, problem=problem if examined.identity is None else examined.problem), None
        if examined.identity is None and not await self.catalog.read(partial(_is_damaged, digest=content.digest)):
            return "", examined, ExaminationResult.WHOLE
        return "", examined, await self._rely_on_object(content.digest, examined)

    async def _upload(self, digest: Digest, size_bytes: int) -> None:
        """Write whole content to the bucket that lacks it, such as content whose object was damaged."""
        key = await self.objects.put(digest, self.blobs.path(digest), size_bytes)
        with suppress(object_rows.ObjectGone):  # the next examination tries again
            await self.catalog.write_uncached(lambda connection: self.objects.use(connection, key, digest))
            _LOG.warning("content written to the bucket again", digest=str(digest))

    async def _rely_on_object(self, digest: Digest, examined: ExaminedFile) -> ExaminationResult:
        def work(connection: Connection) -> ExaminationResult:
            if examined.identity is not None and not self.blobs.examination.drop(digest, examined):
                return ExaminationResult.GONE
            damage_rows.whole_again(connection, str(digest))
            return ExaminationResult.WHOLE if examined.identity is None else ExaminationResult.CORRECTED

        if examined.identity is not None:
            _LOG.warning("damaged file of the cache dropped", digest=str(digest), problem=examined.problem)
        return await self.catalog.write(work)


def _is_damaged(connection: Connection, digest: Digest) -> bool:
    found = select(damaged_content.c.digest).where(damaged_content.c.digest == str(digest))
    return connection.execute(found).first() is not None
