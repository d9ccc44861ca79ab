"""Writing to an upstream (distribution-spec, "Pushing blobs", "Mounting a blob", "Pushing manifests")."""

from __future__ import annotations

from collections.abc import Collection

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import NotFound, RepositoryUnknown, Unsupported, UpstreamProtocolError, UpstreamRefused
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.upload import Upload
from mirror.upstream.blob_download import blob_size
from mirror.upstream.chunked_upload import UpstreamUpload, location_of
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.wire import warnings
from mirror.wire.auth.scopes import repository_scope
from mirror.wire.routes import ManifestRoute, UploadsRoute


class UpstreamWriter:
    """The writing part of an upstream. Implements :class:`mirror.registry.port.Writer`.

    Also raises the errors of :meth:`UpstreamSession.send`.
    """

    def __init__(self, session: UpstreamSession) -> None:
        self._session = session

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        request = _post(UploadsRoute(repository, algorithm=None if algorithm == "sha256" else algorithm))
        async with self._session.request(request, expect={202}, missing=RepositoryUnknown) as answer:
            return self._begun_upload(repository, request, answer)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        upload = UpstreamUpload(self._session, repository, location_of(upload_id, repository))
        await upload.synchronize()
        return upload

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        request = _post(UploadsRoute(repository, mount=digest, source=source), source)
        try:
            async with self._session.request(request, expect={201, 202}) as answer:
                unused = self._begun_upload(repository, request, answer) if answer.status == 202 else None
            size_bytes = await blob_size(self._session, repository, digest) if unused is None else None
        # A mount is an optimization. If it fails for one of these reasons, the caller uploads the blob.
        except (NotFound, Unsupported, UpstreamRefused):
            return None
        if unused is not None:  # the upstream began an upload session instead of mounting, which nobody will use
            await unused.cancel()
        return None if size_bytes is None else Descriptor(OCTET_STREAM, digest, size_bytes)

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        advice: list[str] = []
        # One tag needs one request. A PUT by tag stores the manifest under its sha256 digest, so any other digest
        # algorithm needs a PUT by digest first.
        by_tag = len(tags) == 1 and manifest.digest.algorithm == "sha256"
        if not by_tag:
            set_tags = await self._put(ManifestRoute(repository, manifest.digest, tuple(tags)), manifest, advice)
            # Registries that do not support the ``tag`` parameter ignore it and need one PUT per tag.
            tags = [tag for tag in tags if tag.name not in set_tags]
        for tag in tags:
            await self._put(ManifestRoute(repository, tag), manifest, advice)
        return warnings.parse(advice)

    async def _put(self, route: ManifestRoute, manifest: Manifest, advice: list[str]) -> set[str]:
        """Send a manifest. Return the tags that the upstream reports in ``OCI-Tag``, and add warnings to ``advice``."""
        request = Request(
            "PUT",
            route.url(),
            (repository_scope(route.repository, "pull", "push"),),
            {"Content-Type": manifest.media_type},
            manifest.content,
            repeatable=True,
        )
        async with self._session.request(request, expect={200, 201, 202}, missing=RepositoryUnknown) as answer:
            said = answer.headers.get("Docker-Content-Digest")
            if said and said != str(manifest.digest):
                raise answer.error(UpstreamProtocolError, f"it stored digest {said[:140]} instead of {manifest.digest}")
            advice += answer.all_of("Warning")
            return {name.strip() for value in answer.all_of("OCI-Tag") for name in value.split(",")}

    def _begun_upload(self, repository: Repository, request: Request, answer: Answer) -> UpstreamUpload:
        location = answer.headers.get("Location")
        if not location:
            raise answer.error(UpstreamProtocolError, "it began an upload session without a Location")
        return UpstreamUpload(
            self._session, repository, self._session.addresses.relative(request.url, location), offset=0
        )


def _post(route: UploadsRoute, source: Repository | None = None) -> Request:
    scopes = [repository_scope(route.repository, "pull", "push")]
    if source is not None:
        scopes.append(repository_scope(source, "pull"))
    return Request("POST", route.url(), tuple(scopes), body=b"", repeatable=True)
