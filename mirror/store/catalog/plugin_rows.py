"""Rows of the plugin index: the plugins that a repository holds, and the blobs that they name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import BindParameter, Connection, bindparam, delete, exists, select, union_all

from mirror.oci import Digest, Manifest, Repository
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import incomplete_manifests, manifests, plugin_blobs, repositories

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
#: Removes nothing while the manifest is still held in the other of the two tables.
_GONE = delete(plugin_blobs).where(
    plugin_blobs.c.repository == _NAME,
    plugin_blobs.c.manifest == _MANIFEST,
    ~exists().where(KEPT.c.repository == _NAME, KEPT.c.digest == _MANIFEST),
)


def blobs_named_by(manifest: Manifest) -> Iterator[Digest]:
    """Yield the digests of the config and of every layer, including layers with ``urls``."""
    if manifest.config is not None:
        yield manifest.config.digest
    yield from (layer.digest for layer in manifest.layers)


def named_by(manifest: Manifest) -> list[str]:
    """Return the blobs for the index rows of a plugin.

    A plugin that names no blobs gets one row with an empty text, so that the index lists the plugin.
    """
    return sorted({str(digest) for digest in blobs_named_by(manifest)}) or [""]


def index(connection: Connection, repository: Repository, manifest: Manifest) -> None:
    """Write the index rows of a held manifest if it may be a plugin. Only inside :meth:`Catalog.write`."""
    if manifest.may_be_plugin:
        write(connection, repository.name, str(manifest.digest), named_by(manifest))


def write(connection: Connection, repository: str, manifest: str, named: Iterable[str]) -> None:
    """Write the index rows of a plugin. Only inside :meth:`Catalog.write`."""
    key = {"repository": repository, "manifest": manifest}
    rows.put(connection, plugin_blobs, *({**key, "blob": blob} for blob in named))


def forget(connection: Connection, repository: Repository, digest: Digest) -> None:
    """Remove the index rows of a manifest that the repository no longer holds. Only inside :meth:`Catalog.write`."""
    connection.execute(_GONE, {"repository": repository.name, "manifest": str(digest)})
