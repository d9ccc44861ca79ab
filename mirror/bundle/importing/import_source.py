"""Manifests and blobs of a bundle, together with the manifests that a delta leaves out and the receiver holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from mirror.bundle.reader import BundleReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestUnknown, NotFound
from mirror.registry.port import Blob
from mirror.wire.ranges import RangeRequest

#: Returns a manifest that any local repository holds, as ``held_manifest`` of
#: :class:`mirror.records.run_journal.RunRecorder` does.
HeldManifestFinder: TypeAlias = Callable[[Repository, Digest, str], Awaitable[Manifest | None]]


class ImportSource:
    """Content of a bundle, as its receiver sees it. Implements :class:`mirror.registry.port.Reader`.

    Blobs that a delta leaves out are unknown here. A copy mounts them from the repository that holds them.

    Args:
        bundle: the bundle.
        find_held: finds a manifest that the receiver holds.

    Attributes:
        bundle: see the argument.
    """

    def __init__(self, bundle: BundleReader, find_held: HeldManifestFinder) -> None:
        self.bundle = bundle
        self._find_held = find_held
        # Media types of the manifests that the bundle names and does not hold.
        self._left_out: dict[Digest, str] = {}
        self._note(named.descriptor for named in bundle.head.names)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        try:
            manifest = await self.bundle.get_manifest(repository, target)
        except NotFound:
            held = await self._held(repository, target)
            if held is None:
                raise
            manifest = held
        self._note(manifest.manifests)
        return manifest

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self.bundle.stat_blob(repository, digest)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        return self.bundle.open_blob(repository, digest, part, size_bytes)

    async def _held(self, repository: Repository, target: Tag | Digest) -> Manifest | None:
        if not isinstance(target, Digest):
            raise ManifestUnknown(f"{repository}:{target} is read by its digest", name=repository, reference=target)
        media_type = self._left_out.get(target)
        return None if media_type is None else await self._find_held(repository, target, media_type)

    def _note(self, manifests: Iterable[Descriptor]) -> None:
        holds = self.bundle.head.layout.blob
        self._left_out.update({each.digest: each.media_type for each in manifests if holds(each.digest) is None})
