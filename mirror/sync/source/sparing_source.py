"""An upstream of which each manifest is read once, and no manifest that the store holds: upstreams count the reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import StorageFault
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Blob, Registry
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.lru_cache import LruCache
from mirror.transfer.graph.foreign_layers import open_url
from mirror.transfer.referrer_copies import keeps_under_tags
from mirror.wire.ranges import RangeRequest

#: Bytes of manifests kept for other tags of the same digest, and for members that several indexes share.
_MOST_KEPT_BYTES: Final = 16 * 1024 * 1024
#: Number of digests of which the media type at the upstream is remembered.
_MOST_NAMED: Final = 200_000

#: Returns a manifest held by any local repository, as :meth:`mirror.records.sync_runs.RunRecorder.held_manifest` does.
FindHeld = Callable[[Repository, Digest, str], Awaitable[Manifest | None]]


class SparingSource(DelegatingRegistry):
    """An upstream that is not asked for a manifest whose bytes are known.

    The upstream must have named the digest and its media type before: in the answer to a HEAD for a tag, or in an
    index. Then the bytes of the digest may come from this machine.

    Args:
        inner: the upstream.
        find_held: finds a manifest in the local store.
    """

    def __init__(self, inner: Registry, find_held: FindHeld) -> None:
        super().__init__(inner)
        self._find_held = find_held
        self._kept: LruCache[tuple[Digest, str], Manifest] = LruCache(_MOST_KEPT_BYTES)
        self._named: LruCache[Digest, str] = LruCache(_MOST_NAMED)
        self._reading: SharedTasks[tuple[Repository, Digest], Manifest] = SharedTasks()

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """True if the upstream's referrers are only found through tags."""
        return keeps_under_tags(self.inner)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        found = await self.inner.resolve(repository, target)
        self._name([found])
        return found

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        if isinstance(target, Tag):
            return self._keep(await self.inner.get_manifest(repository, target))
        return await self._reading.run((repository, target), partial(self._read, repository, target))

    def open_url(
        self, url: str, layer: Descriptor, part: RangeRequest | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a foreign layer at another server, see :func:`mirror.transfer.graph.foreign_layers.open_url`."""
        return open_url(self.inner, url, layer, part)

    async def _read(self, repository: Repository, digest: Digest) -> Manifest:
        media_type = self._named.get(digest)
        if media_type is not None:
            known = self._kept.get((digest, media_type)) or await self._held(repository, digest, media_type)
            if known is not None:
                return self._keep(known)
        return self._keep(await self.inner.get_manifest(repository, digest))

    async def _held(self, repository: Repository, digest: Digest, media_type: str) -> Manifest | None:
        try:
            return await self._find_held(repository, digest, media_type)
        except StorageFault:
            return None  # the upstream may replace bytes that are damaged here

    def _keep(self, manifest: Manifest) -> Manifest:
        self._name([manifest.descriptor, *manifest.manifests])
        self._kept.put((manifest.digest, manifest.media_type), manifest, manifest.size_bytes)
        return manifest

    def _name(self, descriptors: Iterable[Descriptor]) -> None:
        for descriptor in descriptors:
            self._named.put(descriptor.digest, descriptor.media_type)
