"""Manifests and configs of a bundle, together with those that the receiver holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.records.bundle_contents import BundleContents
from mirror.registry.port import Blob, Reader
from mirror.wire.ranges import RangeRequest


class ReceivedReader:
    """Content of a bundle as its receiver would have it. Implements :class:`mirror.registry.port.Reader`.

    Content that a delta leaves out is read from any repository of the receiver.

    Args:
        bundle: the bundle.
        held: registry of the receiver.
        contents: content of the receiver.
    """

    def __init__(self, bundle: Reader, held: Reader, contents: BundleContents) -> None:
        self._bundle = bundle
        self._held = held
        self._contents = contents

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        try:
            return await self._bundle.get_manifest(repository, target)
        except NotFound:
            holder = await self._holder(target)
            if holder is None:
                raise
        return await self._held.get_manifest(holder, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        try:
            return await self._bundle.stat_blob(repository, digest)
        except NotFound:
            holder = await self._holder(digest)
            if holder is None:
                raise
        return await self._held.stat_blob(holder, digest)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        try:
            await self._bundle.stat_blob(repository, digest)
            reader, place = self._bundle, repository
        except NotFound:
            holder = await self._holder(digest)
            if holder is None:
                raise
            reader, place = self._held, holder
        async with reader.open_blob(place, digest, part, size_bytes) as blob:
            yield blob

    async def _holder(self, target: Tag | Digest) -> Repository | None:
        """Return a repository of the receiver with a digest. A tag may mean other content there, so it has none."""
        return (await self._contents.holders([target])).get(target) if isinstance(target, Digest) else None
