"""A bundle that is read like a registry."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from mirror.bundle.bundled_repository import BundledRepository, held_manifest, read_manifest, read_repository
from mirror.bundle.format.bundle_head import BundleHead
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.format.bundle_layout import PlacedMember
from mirror.bundle.format.byte_source import ByteSource
from mirror.bundle.member_content import MemberContent
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestUnknown, RepositoryUnknown
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.port import Blob, Entry, Page
from mirror.runtime.lru_cache import LruCache
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest

#: Manifests, blobs and referrers of the repositories kept in memory.
_MOST_ENTRIES: Final = 400_000


class BundleReader:
    """Reads a bundle. Implements ``Reader`` and ``Lister`` of :mod:`mirror.registry.port`.

    A delta lists its names, also those whose content was left out. Such content is unknown here.

    Args:
        head: the verified documents of the bundle.
        source: bytes of the bundle.

    Attributes:
        head: see the argument.
        source: see the argument.
    """

    def __init__(self, head: BundleHead, source: ByteSource) -> None:
        self.head = head
        self.source = source
        self._names: dict[Repository, dict[Tag | Digest, NamedManifest]] = {}
        # In the order of the lists, which follow the order of a dict.
        for named in sorted(head.names, key=lambda each: (str(each.repository), str(each.target))):
            self._names.setdefault(named.repository, {})[named.target] = named
        self._contents: LruCache[Repository, BundledRepository] = LruCache(_MOST_ENTRIES)
        self._reading = asyncio.Lock()

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        named = self._named(repository).get(target)
        if named is not None:
            found: Descriptor | None = named.descriptor
        elif isinstance(target, Digest):
            found = (await self.content(repository)).manifests.get(target)
        else:
            found = None
        if found is None:
            raise self._no_manifest(repository, target)
        held = held_manifest(self.head.layout, found)
        if held is None:
            raise ManifestUnknown(
                f"{self.source.name} names {repository}:{target}, but {self._left_out(found.digest)}",
                name=repository,
                reference=target,
                digest=found.digest,
            )
        return held

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        return await read_manifest(self.head.layout, self.source, await self.resolve(repository, target))

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return Descriptor(OCTET_STREAM, digest, (await self._blob(repository, digest)).member.size_bytes)

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self.stat_blob(repository, digest)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        placed = await self._blob(repository, digest)
        yield MemberContent(self.source, placed, None if part is None else part.resolve(placed.member.size_bytes))

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        listed = [repository for repository in self._names if await self._is_listed(repository)]
        return _page(listed, page)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        holds = self.head.layout.blob
        tags = [
            named.target
            for named in self._named(repository).values()
            if isinstance(named.target, Tag) and holds(named.descriptor.digest) is not None
        ]
        return _page(tags, page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        if repository not in self._names or not page.size:
            return Page(())
        listed = (await self.content(repository)).referrers.get(subject, ())
        found: list[Descriptor] = []
        left = MAX_MANIFEST_BYTES
        for referrer in listed:
            after = page.last is None or str(referrer.manifest.digest) > page.last
            if not after or artifact_type not in {None, referrer.artifact_type}:
                continue
            # Checked before adding: a page has at least one entry, however large its annotations.
            if len(found) == page.size or left < 0:
                return Page(tuple(found), more=True)
            manifest = await read_manifest(self.head.layout, self.source, referrer.manifest)
            found.append(manifest.as_referrer())
            left -= manifest.size_bytes
        return Page(tuple(found))

    async def content(self, repository: Repository) -> BundledRepository:
        """Return everything that the bundle holds of a repository. Raises RepositoryUnknown if it has no such name."""
        names = self._named(repository)
        found = self._contents.get(repository)
        if found is None:
            async with self._reading:
                found = self._contents.get(repository)  # another task may have read it meanwhile
                if found is None:
                    found = await read_repository(self.head.layout, self.source, names.values())
                    self._contents.put(repository, found, found.weight)
        return found

    def _named(self, repository: Repository) -> dict[Tag | Digest, NamedManifest]:
        names = self._names.get(repository)
        if names is None:
            raise RepositoryUnknown(f"{self.source.name} has no repository {repository}", name=repository)
        return names

    async def _is_listed(self, repository: Repository) -> bool:
        has_tag = any(named.tag is not None for named in self._names[repository].values())
        return has_tag or bool((await self.content(repository)).blobs)

    async def _blob(self, repository: Repository, digest: Digest) -> PlacedMember:
        placed = self.head.layout.blob(digest)
        held = repository in self._names and digest in (await self.content(repository)).blobs
        if placed is not None and held:
            return placed
        message = f"{self.source.name}: {repository} has no blob {digest}"
        if placed is None and self.head.statement.since is not None:
            message += f"; {self._left_out(digest)}"
        raise BlobUnknown(message, name=repository, digest=digest)

    def _no_manifest(self, repository: Repository, target: Tag | Digest) -> ManifestUnknown:
        names = [str(named) for named in self._names[repository].values() if named.tag]
        known = f" (it has {', '.join(names[:10])}{', …' if len(names) > 10 else ''})" if names else ""
        return ManifestUnknown(
            f"{self.source.name} has no manifest {target} of {repository}{known}", name=repository, reference=target
        )

    def _left_out(self, digest: Digest) -> str:
        if self.head.statement.since is None:
            return f"does not hold {digest}"
        return f"the bundle is a delta and may leave out {digest}, which its receiver holds"


def _page(entries: Sequence[Entry], page: PageRequest) -> Page[Entry]:
    """Return a page of a sorted list."""
    start = 0 if page.last is None else bisect_right(entries, page.last, key=str)
    # n=0 asks for an empty page without a link to a next one.
    return Page(tuple(entries[start : start + page.size]), more=0 < page.size < len(entries) - start)
