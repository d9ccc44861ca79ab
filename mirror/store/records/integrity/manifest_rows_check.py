"""Comparison of the catalog's rows of many manifests with their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from mirror.oci import Digest, Manifest
from mirror.oci.errors import ClientFault
from mirror.store.catalog.child_rows import KEPT, children_of
from mirror.store.catalog.tables.collection_tables import damaged_content
from mirror.store.catalog.tables.content_tables import manifest_children

_WANTED: BindParameter[Any] = bindparam("wanted", expanding=True)
_KEPT = select(KEPT.c.repository, KEPT.c.digest, KEPT.c.media_type).where(KEPT.c.digest.in_(_WANTED))
_CHILDREN = select(manifest_children.c.child, manifest_children.c.kind).where(
    manifest_children.c.repository == bindparam("name"), manifest_children.c.manifest == bindparam("about")
)
_DAMAGED = select(damaged_content.c.digest).where(damaged_content.c.digest.in_(_WANTED))


def with_right_rows(connection: Connection, manifests: Mapping[Digest, bytes]) -> set[Digest]:
    """Return the manifests for which the catalog has the right rows, and no damage.

    Args:
        connection: a connection to the catalog.
        manifests: the verified bytes of manifests, at most as many as fit the parameters of a statement.
    """
    wanted = {str(digest): digest for digest in manifests}
    kept = connection.execute(_KEPT, {"wanted": list(wanted)}).all()
    wrong = set(connection.execute(_DAMAGED, {"wanted": list(wanted)}).scalars())
    for row in kept:
        digest = wanted[row.digest]
        found = connection.execute(_CHILDREN, {"name": row.repository, "about": row.digest}).all()
        if {(child, kind) for child, kind in found} != _children(manifests[digest], row.media_type, digest):
            wrong.add(row.digest)
    return {digest for written, digest in wanted.items() if written not in wrong}


def _children(content: bytes, media_type: str, digest: Digest) -> set[tuple[str, str]] | None:
    try:
        manifest = Manifest.parse_stored(content, media_type, digest)
    except ClientFault:
        return None
    return {(child, kind.value) for child, kind in children_of(manifest)}
