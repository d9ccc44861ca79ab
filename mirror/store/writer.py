"""Writing to the store: bytes first, row second."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestBlobUnknown, ManifestInvalid
from mirror.oci.manifest import Manifest
from mirror.oci.media_types import OCTET_STREAM
from mirror.oci.names import Repository, Tag
from mirror.registry.port import Upload
from mirror.store import plugin_index
from mirror.store.adoption import adopt
from mirror.store.catalog import rows
from mirror.store.catalog.tables import blobs, manifests, repositories, repository_blobs
from mirror.store.catalog.tables import tags as tags_table
from mirror.store.parts import StoreParts

_HELD_SOMEWHERE = (
    select(blobs.c.size_bytes)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .where(blobs.c.digest == bindparam("digest"))
    .limit(1)
)
_HELD_THERE = _HELD_SOMEWHERE.join(repositories, repositories.c.id == repository_blobs.c.repository_id).where(
    repositories.c.name == bindparam("source")
)


class StoreWriter(StoreParts):
    """Implements :class:`mirror.registry.port.Writer`."""

    async def begin_upload(
        self, repository: Repository, expected: Digest | None = None, client: str | None = None
    ) -> Upload:
        return await self._uploads.begin(repository, expected, client)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        return await self._uploads.resume(repository, upload_id)

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        def find(connection: Connection) -> int | None:
            wanted = {"digest": str(digest), "source": source and source.name}
            return connection.execute(_HELD_SOMEWHERE if source is None else _HELD_THERE, wanted).scalar_one_or_none()

        if await self._catalog.read(find) is None:
            return None  # as most often: that needs no turn to write

        def mount(connection: Connection) -> int | None:
            size_bytes = find(connection)
            if size_bytes is not None:
                rows.add_blob(connection, repository, digest, self._clock.now())
            return size_bytes

        size_bytes = await self._catalog.write(mount)
        return None if size_bytes is None else Descriptor(OCTET_STREAM, digest, size_bytes)

    async def find_blob(self, digest: Digest) -> Descriptor | None:
        """Find a blob that any repository holds: what :meth:`mount_blob` would take over. None where none does."""
        wanted = {"digest": str(digest)}
        size_bytes = await self._catalog.read(lambda connection: connection.scalar(_HELD_SOMEWHERE, wanted))
        return None if size_bytes is None else Descriptor(OCTET_STREAM, digest, size_bytes)

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        referrer = referrer_columns(manifest)
        now = self._clock.now()

        def hold(connection: Connection) -> None:
            hold_manifest(connection, repository, manifest, tags, now=now, referrer=referrer)
            rows.forget_origins(connection, repository, [tag.name for tag in tags])

        async with self._blobs.staged(manifest.content) as file:
            size_bytes = manifest.size_bytes
            await adopt(self._catalog, self._blobs, file, manifest.digest, size_bytes=size_bytes, now=now, hold=hold)
        return ()


def hold_manifest(
    connection: Connection,
    repository: Repository,
    manifest: Manifest,
    tags: Collection[Tag],
    *,
    now: datetime,
    referrer: Mapping[str, object],
    came_at: datetime | None = None,
) -> None:
    """Write the rows of a manifest and its tags. Only inside :meth:`Catalog.write`.

    Args:
        connection: the transaction's.
        repository, manifest: what is held where.
        tags: those that move to it.
        now: when.
        referrer: what :func:`referrer_columns` makes of the manifest.
        came_at: when the manifest came, where that was earlier. One that comes again came the first time.

    Raises:
        ManifestBlobUnknown: something that it names is not in the repository.
    """
    repository_id = rows.ensure_repository(connection, repository)
    _require_children(connection, repository, repository_id, manifest)
    here = {"repository_id": repository_id, "digest": str(manifest.digest)}
    row = {**here, "media_type": manifest.media_type, "created_at": came_at or now, **referrer}
    rows.put(connection, manifests, row, keep="created_at")
    rows.put(connection, tags_table, *({**here, "name": tag.name, "updated_at": now} for tag in tags))
    rows.drop_incomplete(connection, repository, manifest.digest)
    plugin_index.index(connection, repository, manifest)


def referrer_columns(manifest: Manifest) -> dict[str, object]:
    """What the catalog keeps of a manifest that refers to another. Raises ManifestInvalid: it cannot be kept."""
    if manifest.subject is None:
        return {"subject": None, "artifact_type": None, "annotations": None}
    referrer = manifest.as_referrer()
    try:
        (referrer.artifact_type or "").encode()
    except UnicodeEncodeError as error:
        raise ManifestInvalid("artifactType is not Unicode text") from error
    return {
        "subject": str(manifest.subject.digest),
        "artifact_type": referrer.artifact_type,
        "annotations": dict(referrer.annotations) or None,
    }


def _require_children(connection: Connection, repository: Repository, repository_id: int, manifest: Manifest) -> None:
    wanted = [blob.digest for blob in manifest.blobs]
    missing = rows.first_missing(connection, repository_blobs, repository_id, wanted)
    if missing is None:
        members = [member.digest for member in manifest.manifests]
        missing = rows.first_missing(connection, manifests, repository_id, members)
    if missing is not None:
        raise ManifestBlobUnknown(
            f"{repository} does not hold {missing}, which the manifest names: push it first", digest=missing
        )
