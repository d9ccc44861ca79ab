"""Deletion at an upstream (distribution-spec, "Content Management").

Many registries have deletion disabled, which raises Unsupported.
"""

from __future__ import annotations

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import BlobUnknown, DigestInvalid, ManifestUnknown, NotFound, Unsupported
from mirror.runtime.error_advice import without_fix
from mirror.upstream.http.exchange import Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.wire.auth.scopes import repository_scope
from mirror.wire.routes import BlobRoute, ManifestRoute


class UpstreamDeleter:
    """The deleting part of an upstream. Implements :class:`mirror.registry.port.Deleter`.

    Also raises the errors of :meth:`UpstreamSession.send`.
    """

    def __init__(self, session: UpstreamSession) -> None:
        self._session = session

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        try:
            await self._delete(ManifestRoute(repository, tag), ManifestUnknown)
        except DigestInvalid as error:  # docker-registry before 3.0 deletes by digest only and answers DIGEST_INVALID
            raise Unsupported(
                f"{without_fix(error)}: the upstream cannot delete tags; fix: delete the manifest by digest",
                **error.detail,
            ) from error

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._delete(ManifestRoute(repository, digest), ManifestUnknown)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await self._delete(BlobRoute(repository, digest), BlobUnknown)

    async def _delete(self, route: ManifestRoute | BlobRoute, missing: type[NotFound]) -> None:
        request = Request("DELETE", route.url(), (repository_scope(route.repository, "pull", "delete"),))
        async with self._session.request(request, expect={200, 202, 204}, missing=missing):
            pass
