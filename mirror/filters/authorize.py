"""Authorization: a wrapper that checks the caller's rights before it forwards a call."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from mirror.access.rights import USERS_ONLY, AccessAction, Rights, detail, phrase
from mirror.filters.readable_repositories import list_readable_repositories
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, MirrorError, RightMissing, Unsupported
from mirror.oci.name_pattern import NameSpan
from mirror.records.changes.actor import ALLOWED_BY
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Blob, Page, Registry
from mirror.registry.upload import Upload
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest


@dataclass(frozen=True, slots=True)
class AnonymousRights:
    """Rights of callers without a login and without a certificate. They are the same for every repository.

    Attributes:
        actions: actions allowed by the setting ``server.anonymous``.
        users_may: actions allowed to some user in some repository, in addition.
        clients_may: actions allowed to some client with a certificate in some repository, in addition.
        allowed_by: what allows the actions, see :meth:`mirror.access.rights.Rights.basis`.
    """

    actions: frozenset[AccessAction]
    users_may: frozenset[AccessAction] = frozenset()
    clients_may: frozenset[AccessAction] = frozenset()
    allowed_by: str = "server.anonymous"

    def allows(self, action: AccessAction, repository: Repository | None) -> bool:
        return action in self.actions

    def basis(self, action: AccessAction, repository: Repository | None) -> str:
        return self.allowed_by

    def spans(self, action: AccessAction) -> Sequence[NameSpan]:
        return (NameSpan(),) if action in self.actions else ()

    @property
    def listing(self) -> Rights | None:
        # The reports under /api/v1 are for callers who may list. They name repositories whose content is withheld here.
        return self if AccessAction.PULL in self.actions else None

    def refusal(self, action: AccessAction, repository: Repository | None) -> MirrorError:
        what, told = phrase(action, repository), detail(action, repository)
        by_rule = "with this right by a rule under access: in the configuration"
        if action in USERS_ONLY:
            certificate = ", or a client certificate," if action in self.clients_may else ""
            return RightMissing(f"{what} needs the login of a user{certificate} {by_rule}", **told)
        if action in self.clients_may:
            return RightMissing(f"{what} needs a client certificate {by_rule}", **told)
        wanted = ", ".join(each.value for each in AccessAction if each in self.actions or each is action)
        advice = f"fix: to allow this without a login, set server.anonymous: [{wanted}]"
        if action is AccessAction.DELETE and action not in self.users_may:
            # No login would help, so the answer is not a challenge.
            return Unsupported(f"deleting is switched off here; {advice}", name=repository)
        return RightMissing(f"{what} is not allowed here; {advice}", **told)


class Authorize(DelegatingRegistry):
    """Forwards the calls allowed to the caller and refuses all others.

    Each method raises the error made by :meth:`Rights.refusal` if the caller lacks the right, besides the errors of
    ``inner``.

    Args:
        inner: the wrapped registry.
        rights: rights of the caller.
    """

    def __init__(self, inner: Registry, rights: Rights) -> None:
        super().__init__(inner)
        self._rights = rights

    def require(self, action: AccessAction, repository: Repository) -> None:
        """Raise an error if the caller lacks a right. Implements :class:`mirror.access.rights.Guarded`."""
        if not self._rights.allows(action, repository):
            raise self._rights.refusal(action, repository)
        if action is not AccessAction.PULL:
            ALLOWED_BY.set(self._rights.basis(action, repository))

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        self.require(AccessAction.PULL, repository)
        return await self.inner.resolve(repository, target)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        self.require(AccessAction.PULL, repository)
        return await self.inner.get_manifest(repository, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        self.require(AccessAction.PULL, repository)
        try:
            return await self.inner.stat_blob(repository, digest)
        except BlobUnknown:
            # A client that may push skips the upload of a blob that it finds. Any other client asks because it wants
            # to pull: a registry chained behind this one does so before each blob.
            if self._rights.allows(AccessAction.PUSH, repository):
                raise
        return await self.inner.stat_pullable_blob(repository, digest)

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        self.require(AccessAction.PULL, repository)
        return await self.inner.stat_pullable_blob(repository, digest)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        self.require(AccessAction.PULL, repository)
        return self.inner.open_blob(repository, digest, part, size_bytes)

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        self.require(AccessAction.PUSH, repository)
        return await self.inner.begin_upload(repository, client, algorithm)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        self.require(AccessAction.PUSH, repository)
        return await self.inner.resume_upload(repository, upload_id)

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        """Mount a blob as the port defines.

        A source which the caller may not read counts as a source without the blob.
        """
        self.require(AccessAction.PUSH, repository)
        # None instead of an error: the answer must not reveal whether a repository holds the blob.
        if not self._rights.allows(AccessAction.PULL, source):
            return None
        return await self.inner.mount_blob(repository, digest, source)

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        self.require(AccessAction.PUSH, repository)
        return await self.inner.put_manifest(repository, manifest, tags)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        self.require(AccessAction.DELETE, repository)
        await self.inner.delete_tag(repository, tag)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        self.require(AccessAction.DELETE, repository)
        await self.inner.delete_manifest(repository, digest)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        self.require(AccessAction.DELETE, repository)
        await self.inner.delete_blob(repository, digest)

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        """List the repositories from which the caller may pull.

        Raises RightMissing if the caller may not list at all.
        """
        rights = self._rights.listing
        if rights is None:
            raise RightMissing("listing repositories needs the right to pull", action="list")
        # With rights for every repository no name has to be checked, and the page passes through.
        if rights.allows(AccessAction.PULL, None):
            return await self.inner.list_repositories(page)
        return await list_readable_repositories(self.inner, rights, page)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        self.require(AccessAction.PULL, repository)
        return await self.inner.list_tags(repository, page)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        self.require(AccessAction.PULL, repository)
        return await self.inner.list_referrers(repository, subject, artifact_type, page)
