"""Rows of a manifest: the manifest, its tags, and what it names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ManifestBlobUnknown, ManifestInvalid
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import ReviewKind
from mirror.store.catalog import child_rows, review_rows, rows
from mirror.store.catalog.change_rows import keeps_changes, note_change, note_tags
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.pushes.charged_push import ChargedPush, pusher
from mirror.store.catalog.pushes.push_rows import charge_manifest
from mirror.store.catalog.tables.content_tables import derivations, manifests, repository_blobs
from mirror.store.catalog.tables.content_tables import tags as tags_table

_POINTED = select(tags_table.c.name, tags_table.c.digest).where(
    tags_table.c.repository_id == bindparam("repository_id"), tags_table.c.name.in_(bindparam("names", expanding=True))
)
_POINTING = (
    select(tags_table.c.name)
    .where(tags_table.c.repository_id == bindparam("repository_id"), tags_table.c.digest == bindparam("held"))
    .order_by(tags_table.c.name)
)
_NO_LONGER = delete(manifests).where(  # the foreign key deletes its tags
    manifests.c.repository_id == bindparam("of_repository"), manifests.c.digest == bindparam("held")
)
_ORIGINALS = (
    select(KEPT.c.repository, KEPT.c.digest)
    .join(derivations, derivations.c.original == KEPT.c.digest)
    .where(derivations.c.digest == bindparam("held"))
)


def hold_manifest(
    connection: Connection,
    repository: Repository,
    manifest: Manifest,
    tags: Collection[Tag],
    *,
    now: datetime,
    referrer: Mapping[str, object],
    pushed: bool,
    charged: ChargedPush | None = None,
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
        charged: the push of a client, if it is one, and the accounts in which it must fit.
        came_at: the time that the manifest came, if earlier than ``now``. If the row exists, its time stays.

    Raises:
        ManifestBlobUnknown: the repository does not hold a blob or manifest that the manifest names, and that is not
            recorded as absent.
        QuotaExceeded: a quota has no room for the push.
    """
    repository_id = rows.ensure_repository(connection, repository)
    _require_children(connection, repository, repository_id, manifest)
    charge_manifest(connection, charged, repository, manifest, tags, now=now)
    user = pusher(charged)
    key = {"repository_id": repository_id, "digest": str(manifest.digest)}
    row = {**key, "media_type": manifest.media_type, "created_at": came_at or now, **referrer}
    rows.put(connection, manifests, {**row, "pushed_by": user}, keep=("created_at", "pushed_by"))
    point_tags(connection, repository, manifest.digest, tags, now=now, pushed=pushed, pushed_by=user)
    rows.drop_incomplete(connection, repository, manifest.digest)
    child_rows.index(connection, repository, manifest)
    if not tags:
        cause = ReviewCause.STORED if pushed else ReviewCause.FETCHED
        review_rows.review(connection, ReviewKind.MANIFEST, repository.name, [str(manifest.digest)], cause, now=now)


def point_tags(
    connection: Connection,
    repository: Repository,
    digest: Digest,
    tags: Collection[Tag],
    *,
    now: datetime,
    pushed: bool,
    pushed_by: str | None = None,
) -> None:
    """Let tags point to a held manifest. What they pointed to before is reviewed. Only inside :meth:`Catalog.write`."""
    if not tags:
        return
    repository_id = rows.ensure_repository(connection, repository)
    names = [tag.name for tag in tags]
    before = connection.execute(_POINTED, {"repository_id": repository_id, "names": names}).all()
    row = {"repository_id": repository_id, "digest": str(digest), "updated_at": now, "pushed": pushed}
    rows.put(connection, tags_table, *({**row, "name": name, "pushed_by": pushed_by} for name in names))
    pointed = {row.name: row.digest for row in before}
    note_tags(connection, now, repository, digest, [(name, pointed.get(name, "")) for name in names])
    left = [old for old in pointed.values() if old != str(digest)]
    review_rows.review(connection, ReviewKind.MANIFEST, repository.name, left, ReviewCause.MOVED, now=now)


def remove_manifest(
    connection: Connection, repository: Repository, digest: Digest, cause: ReviewCause, now: datetime
) -> bool:
    """Remove a manifest with its tags, and review everything that it kept. Only inside :meth:`Catalog.write`.

    Returns:
        True if the repository held the manifest.
    """
    repository_id = rows.find_repository(connection, repository)
    if repository_id is None:
        return False
    is_told = cause is ReviewCause.DELETED and keeps_changes(connection)  # what the collection removes is no decision
    pointing = {"repository_id": repository_id, "held": str(digest)}
    tags = connection.execute(_POINTING, pointing).scalars().all() if is_told else ()
    if not connection.execute(_NO_LONGER, {"of_repository": repository_id, "held": str(digest)}).rowcount:
        return False
    if is_told:
        note_tags(connection, now, repository, None, [(tag, str(digest)) for tag in tags])
        gone = Change(ChangeKind.MANIFEST_DELETED, f"{repository}@{digest}", repository.name, before=str(digest))
        note_change(connection, now, gone)
    review_left_behind(connection, repository, digest, cause, now)
    rows.drop_repository_if_empty(connection, repository_id)
    return True


def review_left_behind(
    connection: Connection, repository: Repository, digest: Digest, cause: ReviewCause, now: datetime
) -> None:
    """Review what a manifest kept that its repository no longer holds, and remove the rows about it."""
    left = child_rows.children(connection, repository.name, str(digest))
    child_rows.forget(connection, repository.name, str(digest))
    rows.forget_absent(connection, repository, digest)
    rows.forget_arrivals(connection, repository, digest)
    review_rows.review_children(connection, repository.name, left, cause, now)
    referrers = child_rows.referrers(connection, repository.name, str(digest))
    review_rows.review(connection, ReviewKind.MANIFEST, repository.name, referrers, cause, now=now)
    for original in connection.execute(_ORIGINALS, {"held": str(digest)}).all():
        review_rows.review(connection, ReviewKind.MANIFEST, original.repository, [original.digest], cause, now=now)
    review_rows.review(connection, ReviewKind.CONTENT, "", [str(digest)], cause, now=now)


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
