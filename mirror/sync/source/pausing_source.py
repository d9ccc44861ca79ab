"""An upstream that a run no longer asks once it has answered 429 or 503."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import CircuitOpen, UpstreamBusy, UpstreamPaused
from mirror.registry.port import Blob, Page, ReadLister
from mirror.transfer.graph.foreign_layers import open_url
from mirror.transfer.referrer_copies import keeps_under_tags
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest

Given = TypeVar("Given")

_PAUSING = frozenset({"429", "503"})


class PausingSource:
    """The upstream of one run. Implements :class:`mirror.registry.port.ReadLister`.

    After the first final 429 or 503, all requests raise UpstreamPaused, so that the run ends instead of failing tag
    after tag. Only blobs are still requested, so that copies whose manifests have been read can be finished.

    Args:
        inner: the upstream.

    Attributes:
        pause: reason of the pause; None while the upstream is asked.
    """

    def __init__(self, inner: ReadLister) -> None:
        self.pause: UpstreamPaused | None = None
        self._inner = inner

    @property
    def keeps_referrers_under_tags(self) -> bool:
        """True if the upstream's referrers are only found through tags."""
        return keeps_under_tags(self._inner)

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        self._require_asking()
        return await self._asked(self._inner.resolve(repository, target))

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        self._require_asking()
        return await self._asked(self._inner.get_manifest(repository, target))

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self._asked(self._inner.stat_blob(repository, digest))

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        try:
            async with self._inner.open_blob(repository, digest, part, size_bytes) as blob:
                yield blob
        except UpstreamBusy as error:
            raise self._judged(error) from error

    def open_url(
        self, url: str, layer: Descriptor, part: RangeRequest | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a foreign layer at another server, see :func:`mirror.transfer.graph.foreign_layers.open_url`."""
        return open_url(self._inner, url, layer, part)

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        self._require_asking()
        return await self._asked(self._inner.list_repositories(page))

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        self._require_asking()
        return await self._asked(self._inner.list_tags(repository, page))

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        self._require_asking()
        return await self._asked(self._inner.list_referrers(repository, subject, artifact_type, page))

    def _require_asking(self) -> None:
        if self.pause is not None:
            raise UpstreamPaused(self.pause.message, **self.pause.detail)

    async def _asked(self, asking: Awaitable[Given]) -> Given:
        try:
            return await asking
        except (UpstreamBusy, CircuitOpen) as error:
            raise self._judged(error) from error

    def _judged(self, error: UpstreamBusy | CircuitOpen) -> UpstreamBusy | CircuitOpen:
        """Return the error to raise: UpstreamPaused if the upstream asked for a pause, else the error itself."""
        status = error.detail.get("status")
        # An error without a status is about a request that was not sent, because a pause is not over yet.
        asked_for = status in _PAUSING if status or isinstance(error, CircuitOpen) else True
        if not asked_for:
            return error
        paused = UpstreamPaused(error.message, **error.detail)
        self.pause = self.pause or paused
        return paused
