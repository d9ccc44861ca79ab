"""Quotas: a wrapper that refuses pushes for which a quota has no room, and lets the store record who pushed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from mirror.filters.charged_upload import ChargedUpload, made_as_push
from mirror.filters.quota_metrics import QuotaCounter
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.records.lifecycle.quotas import Push, QuotaBook, QuotaRules
from mirror.registry.port import Registry
from mirror.registry.upload import Upload

Result = TypeVar("Result")


class WithinQuotas:
    """Implements :class:`mirror.registry.port.Registry` for one user, or for all anonymous clients.

    Only pushes pass through here. What mirror rules and pull-through bring counts for quotas of repositories, and is
    never refused.

    Args:
        inner: the wrapped registry.
        book: the usage of the quotas.
        rules: the quotas.
        counter: counts refusals and warnings.
        user: the user who pushes; None for anonymous clients.
    """

    def __init__(
        self, inner: Registry, book: QuotaBook, rules: QuotaRules, counter: QuotaCounter, user: str | None
    ) -> None:
        self.inner = inner
        self._book = book
        self._rules = rules
        self._counter = counter
        self._user = user
        # Methods are bound, not forwarded: a forwarding coroutine would add its cost to each pull.
        self.resolve, self.get_manifest = inner.resolve, inner.get_manifest
        self.stat_blob, self.open_blob = inner.stat_blob, inner.open_blob
        self.stat_pullable_blob = inner.stat_pullable_blob
        self.delete_tag, self.delete_manifest = inner.delete_tag, inner.delete_manifest
        self.delete_blob = inner.delete_blob
        self.list_repositories, self.list_tags = inner.list_repositories, inner.list_tags
        self.list_referrers = inner.list_referrers

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        """Begin an upload as the port defines. Raises QuotaExceeded if not a single byte more fits."""
        push = self._push(repository)
        if push.accounts:
            await self._counted(push, lambda: self._book.require_room(push))
        return self._charged(await self.inner.begin_upload(repository, client, algorithm), push)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        """Resume an upload as the port defines."""
        return self._charged(await self.inner.resume_upload(repository, upload_id), self._push(repository))

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        """Mount a blob as the port defines. Raises QuotaExceeded if the blob does not fit."""
        push = self._push(repository)
        return await self._counted(push, lambda: self.inner.mount_blob(repository, digest, source))

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """Store a manifest as the port defines. Raises QuotaExceeded if the manifest or a new tag does not fit."""
        push = self._push(repository)
        advice = await self._counted(push, lambda: self.inner.put_manifest(repository, manifest, tags))
        return (*advice, *push.advice())

    def _push(self, repository: Repository) -> Push:
        return Push(self._user, self._rules.accounts(repository, self._user))

    def _charged(self, upload: Upload, push: Push) -> Upload:
        push.upload = upload.id
        return ChargedUpload(upload, push, self._book, self._counter) if push.accounts or push.user else upload

    async def _counted(self, push: Push, change: Callable[[], Awaitable[Result]]) -> Result:
        return await made_as_push(push, self._book, self._counter, change)
