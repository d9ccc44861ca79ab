"""Rows of what manifests name: blobs, members of an index, and the subject. Also the index of plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import BindParameter, Connection, bindparam, delete, exists, select, union_all

from mirror.oci import Digest, Manifest, Repository
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    incomplete_manifests,
    manifest_children,
    manifests,
    repositories,
)

_NAME: BindParameter[str] = bindparam("repository")
_MANIFEST: BindParameter[str] = bindparam("manifest")

#: Every manifest of every repository, incomplete ones included, with the time that it came.
KEPT = union_all(
    select(repositories.c.name.label("repository"), manifests.c.digest, manifests.c.media_type, manifests.c.created_at)
    .select_from(manifests)
    .join(repositories, repositories.c.id == manifests.c.repository_id),
    select(
        incomplete_manifests.c.repository,
        incomplete_manifests.c.digest,
        incomplete_manifests.c.media_type,
        incomplete_manifests.c.kept_at,
    ),
).subquery("kept")
#: The blobs that each plugin of a repository names, by the plugin's manifest. A plugin that names no blob has one row
#: with an empty text, so that the index lists the plugin.
PLUGIN_BLOBS = (
    select(
        manifest_children.c.repository,
        manifest_children.c.child.label("blob"),
        manifest_children.c.manifest,
    )
    .where(manifest_children.c.of_plugin, manifest_children.c.kind == ChildKind.BLOB.value)
    .subquery("plugin_blobs")
)
#: Removes nothing while the manifest is still held in the other of the two tables.
_GONE = delete(manifest_children).where(
    manifest_children.c.repository == _NAME,
    manifest_children.c.manifest == _MANIFEST,
    ~exists().where(KEPT.c.repository == _NAME, KEPT.c.digest == _MANIFEST),
)
_OF = select(manifest_children.c.child, manifest_children.c.kind).where(
    manifest_children.c.repository == _NAME, manifest_children.c.manifest == _MANIFEST
)
_REFERRERS = select(manifest_children.c.manifest).where(
    manifest_children.c.repository == _NAME,
    manifest_children.c.child == bindparam("subject"),
    manifest_children.c.kind == ChildKind.SUBJECT.value,
)
_UNREAD_BEFORE = delete(manifest_children).where(
    manifest_children.c.repository == _NAME,
    manifest_children.c.manifest == _MANIFEST,
    manifest_children.c.kind == ChildKind.UNREAD.value,
)


def blobs_named_by(manifest: Manifest) -> Iterator[Digest]:
    """Yield the digests of the config and of every layer, including layers with ``urls``."""
    if manifest.config is not None:
        yield manifest.config.digest
    yield from (layer.digest for layer in manifest.layers)


def children_of(manifest: Manifest) -> list[tuple[str, ChildKind]]:
    """Return what a manifest names, as pairs of digest and kind. A manifest that names nothing has one empty blob."""
    named = {(str(digest), ChildKind.BLOB) for digest in blobs_named_by(manifest)}
    named |= {(str(member.digest), ChildKind.BLOB) for member in manifest.blob_members}
    named |= {(str(member.digest), ChildKind.MEMBER) for member in manifest.manifests}
    if manifest.subject is not None:
        named.add((str(manifest.subject.digest), ChildKind.SUBJECT))
    if manifest.may_be_plugin and not any(kind == ChildKind.BLOB for _, kind in named):
        named.add(("", ChildKind.BLOB))
    return sorted(named) or [("", ChildKind.BLOB)]


def index(connection: Connection, repository: Repository, manifest: Manifest) -> None:
    """Write the rows of a held manifest. Only inside :meth:`Catalog.write`."""
    named = children_of(manifest)
    write(connection, repository.name, str(manifest.digest), named, of_plugin=manifest.may_be_plugin)


def write(
    connection: Connection, repository: str, manifest: str, named: Iterable[tuple[str, ChildKind]], *, of_plugin: bool
) -> None:
    """Write the rows of a manifest from the result of :func:`children_of`. Only inside :meth:`Catalog.write`."""
    key = {"repository": repository, "manifest": manifest, "of_plugin": of_plugin}
    connection.execute(_UNREAD_BEFORE, {"repository": repository, "manifest": manifest})
    rows.put(connection, manifest_children, *({**key, "child": child, "kind": kind.value} for child, kind in named))


def write_unread(connection: Connection, repository: str, manifest: str) -> None:
    """Record that a held manifest cannot be read, so that it may name anything. Only inside :meth:`Catalog.write`."""
    row = {
        "repository": repository,
        "child": "",
        "manifest": manifest,
        "kind": ChildKind.UNREAD.value,
        "of_plugin": False,
    }
    rows.put(connection, manifest_children, row)


def children(connection: Connection, repository: str, manifest: str) -> list[tuple[str, ChildKind]]:
    """Return what a held manifest names, as pairs of digest and kind, without empty ones."""
    found = connection.execute(_OF, {"repository": repository, "manifest": manifest})
    return [(row.child, ChildKind(row.kind)) for row in found if row.child]


def referrers(connection: Connection, repository: str, subject: str) -> Sequence[str]:
    """Return the digests of the held manifests that name a subject."""
    return connection.execute(_REFERRERS, {"repository": repository, "subject": subject}).scalars().all()


def forget(connection: Connection, repository: str, digest: str) -> None:
    """Remove the rows of a manifest that the repository no longer holds. Only inside :meth:`Catalog.write`."""
    connection.execute(_GONE, {"repository": repository, "manifest": digest})
