"""Rows of a manifest: the manifest, its tags, and the plugin index."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection

from mirror.oci import Manifest, Repository, Tag
from mirror.oci.errors import ManifestBlobUnknown, ManifestInvalid
from mirror.store.catalog import plugin_rows, rows
from mirror.store.catalog.tables.content_tables import manifests, repository_blobs
from mirror.store.catalog.tables.content_tables import tags as tags_table


def hold_manifest(
    connection: Connection,
    repository: Repository,
    manifest: Manifest,
    tags: Collection[Tag],
    *,
    now: datetime,
    referrer: Mapping[str, object],
    pushed: bool,
    came_at: datetime | None = None,
) -> None:
    """Write the rows of a manifest and its tags. Only inside :meth:`Catalog.write`.

    Args:
        connection: the connection of the transaction.
        repository: the repository that gets the manifest.
        manifest: the manifest.
        tags: the tags to point to the manifest.
        now: the present time.
        referrer: the result of :func:`referrer_columns` for the manifest.
        pushed: True if a client pushes the tags, False if a mirror rule or pull-through brings them.
        came_at: the time that the manifest came, if earlier than ``now``. If the row exists, its time stays.

    Raises:
        ManifestBlobUnknown: the repository does not hold a blob or manifest that the manifest names, and that is not
            recorded as absent.
    """
    repository_id = rows.ensure_repository(connection, repository)
    _require_children(connection, repository, repository_id, manifest)
    key = {"repository_id": repository_id, "digest": str(manifest.digest)}
    row = {**key, "media_type": manifest.media_type, "created_at": came_at or now, **referrer}
    rows.put(connection, manifests, row, keep="created_at")
    rows.put(connection, tags_table, *({**key, "name": tag.name, "updated_at": now, "pushed": pushed} for tag in tags))
    rows.drop_incomplete(connection, repository, manifest.digest)
    plugin_rows.index(connection, repository, manifest)


def referrer_columns(manifest: Manifest) -> dict[str, object]:
    """Return the columns for a manifest's entry in the list of referrers.

    Raises:
        ManifestInvalid: the artifact type cannot be stored.
    """
    if manifest.subject is None:
        return {"subject": None, "artifact_type": None, "annotations": None}
    referrer = manifest.as_referrer()
    try:
        # JSON may hold half a surrogate pair, which a database cannot store as text.
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
        if members:
            absent = rows.absent_of(connection, repository, manifest.digest)
            members = [member for member in members if str(member) not in absent]
        missing = rows.first_missing(connection, manifests, repository_id, members)
    if missing is not None:
        raise ManifestBlobUnknown(
            f"{repository} does not hold {missing}, which the manifest names; fix: push it first", digest=missing
        )
