"""``ReadOnly``: a registry that serves and changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

from mirror.access.rights import AccessAction, Guarded
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import Unsupported
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.upload import Upload


def refuse_change(*_args: object, **_kwargs: object) -> NoReturn:
    """Raise the error for a change of any kind."""
    raise Unsupported(
        "this registry is read-only (serve --read-only or --bundle, or server.read_only); fix: make the change at the "
        "registry that this one is a copy of",
        allowed="GET, HEAD",
    )


class ReadOnly(DelegatingRegistry):
    """Forwards reads and refuses changes. A change is refused to every caller alike, before any right is looked at.

    Each method that changes something raises Unsupported.
    """

    def require(self, action: AccessAction, repository: Repository) -> None:
        """Raise an error for a change or a missing right. Implements :class:`mirror.access.rights.Guarded`."""
        if action is not AccessAction.PULL:
            refuse_change()
        if isinstance(self.inner, Guarded):
            self.inner.require(action, repository)

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        refuse_change()

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        refuse_change()

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        refuse_change()

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        refuse_change()

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        refuse_change()

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        refuse_change()

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        refuse_change()
