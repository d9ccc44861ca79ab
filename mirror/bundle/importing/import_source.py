"""Content of a bundle, together with the content that a delta leaves out and its receiver holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mirror.bundle.reader import BundleReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, NotFound
from mirror.records.bundle_contents import BundleContents
from mirror.registry.port import Blob, Reader
from mirror.wire.ranges import RangeRequest


class ImportSource:
    """Content of a bundle, as its receiver sees it. Implements :class:`mirror.registry.port.Reader`.

    Args:
        bundle: the bundle.
        held: registry of the receiver.
        contents: content of that registry, in all repositories.

    Attributes:
        bundle: see the argument.
        contents: see the argument.
    """

    def __init__(self, bundle: BundleReader, held: Reader, contents: BundleContents) -> None:
        self.bundle = bundle
        self.contents = contents
        self._held = held

    def holds(self, digest: Digest) -> bool:
        """Return True if the bundle itself holds some content."""
        return self.bundle.head.layout.blob(digest) is not None

    def missing_parts(self, digest: Digest) -> tuple[str, ...]:
        """Return the missing parts of the bundle with bytes of some content, as text for messages."""
        placed = self.bundle.head.layout.blob(digest)
        if placed is None:
            return ()
        return self.bundle.source.missing(placed.start_bytes, placed.end_bytes - placed.start_bytes)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        try:
            return await self.bundle.get_manifest(repository, target)
        except NotFound as error:
            place = await self._holder(target, error)
            return await self._held.get_manifest(place, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        try:
            return await self.bundle.stat_blob(repository, digest)
        except NotFound as error:
            return await self._held.stat_blob(await self._holder(digest, error), digest)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        reader: Reader = self.bundle
        if not self.holds(digest):
            missing = BlobUnknown(f"neither the bundle nor a repository holds {digest}", digest=digest)
            reader, repository = self._held, await self._holder(digest, missing)
        async with reader.open_blob(repository, digest, part, size_bytes) as blob:
            yield blob

    async def _holder(self, target: Tag | Digest, error: NotFound) -> Repository:
        """Return a repository that holds some content. Raises ``error`` if none does, or the bundle has the content."""
        if isinstance(target, Digest) and not self.holds(target):
            holder = (await self.contents.holders([target])).get(target)
            if holder is not None:
                return holder
        raise error
