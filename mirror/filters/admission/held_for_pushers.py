"""Held plugins, as those see them who may push to their repository.

A signature is made after a push, by a program that first reads what it signs. So a plugin that is held because nobody
has signed it must be readable for the users who may push it. Engines do not get it from them either (ADR 64).
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from mirror.access.rights import AccessAction, Rights
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Blob, Registry
from mirror.runtime.current_client import IS_ENGINE
from mirror.wire.ranges import RangeRequest


class HeldForPushers(DelegatingRegistry):
    """Reads from another registry where a user may push.

    Args:
        inner: the registry for everybody, which withholds held plugins.
        with_held: the same registry with held plugins.
        rights: rights of the user.
    """

    def __init__(self, inner: Registry, with_held: Registry, rights: Rights) -> None:
        super().__init__(inner)
        self._with_held = with_held
        self._rights = rights

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        return await self._of(repository).get_manifest(repository, target)

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return await self._of(repository).stat_pullable_blob(repository, digest)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        return self._of(repository).open_blob(repository, digest, part, size_bytes)

    def _of(self, repository: Repository) -> Registry:
        may_see = not IS_ENGINE.get() and self._rights.allows(AccessAction.PUSH, repository)
        return self._with_held if may_see else self.inner
