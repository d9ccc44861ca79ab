"""Content that the store holds, in the catalog, as the two sides of a bundle compare it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, union, union_all

from mirror.oci import Digest, Repository
from mirror.records.bundle_contents import HeldContent
from mirror.records.sync_runs import BUNDLE_OWNER
from mirror.store.catalog import rows
from mirror.store.catalog.tables.bundle_tables import bundle_streams
from mirror.store.catalog.tables.content_tables import manifests, repositories, repository_blobs, tags
from mirror.store.catalog.tables.sync_tables import mirrored_tags
from mirror.store.store_services import StoreServices

_STREAMS: Final = select(bundle_streams.c.stream, bundle_streams.c.serial)
_DIGESTS: Final = union(select(repository_blobs.c.digest), select(manifests.c.digest))
_MANIFESTS: Final = select(repositories.c.name, manifests.c.digest).join(
    repositories, repositories.c.id == manifests.c.repository_id
)
_TAGS: Final = select(repositories.c.name, tags.c.name.label("tag"), tags.c.digest).join(
    repositories, repositories.c.id == tags.c.repository_id
)
#: Tags that still are as a bundle brought them, with the name of their repository in the bundle.
_BROUGHT: Final = (
    select(mirrored_tags.c.source, repositories.c.name, tags.c.name.label("tag"), tags.c.digest)
    .join(repositories, repositories.c.name == mirrored_tags.c.repository)
    .join(
        tags,
        (tags.c.repository_id == repositories.c.id)
        & (tags.c.name == mirrored_tags.c.tag)
        & (tags.c.digest == mirrored_tags.c.upstream_digest),
    )
    .where(mirrored_tags.c.rule.startswith(BUNDLE_OWNER, autoescape=True))
)
_HOLDINGS: Final = union_all(
    *(select(held.c.digest, held.c.repository_id) for held in (repository_blobs, manifests))
).subquery()
_HOLDERS: Final = (
    select(_HOLDINGS.c.digest, func.min(repositories.c.name).label("name"))
    .join(repositories, repositories.c.id == _HOLDINGS.c.repository_id)
    .where(_HOLDINGS.c.digest.in_(bindparam("digests", expanding=True)))
    .group_by(_HOLDINGS.c.digest)
)


class SqlBundleContents:
    """Implements :class:`mirror.records.bundle_contents.BundleContents`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def held_content(self) -> HeldContent:
        return await self._catalog.read_long(_held_content)

    async def holders(self, digests: Collection[Digest]) -> Mapping[Digest, Repository]:
        def read(connection: Connection) -> dict[Digest, Repository]:
            return {
                Digest.parse(row.digest): Repository(row.name)
                for part in rows.parts(map(str, digests))
                for row in connection.execute(_HOLDERS, {"digests": part})
            }

        return await self._catalog.read_long(read) if digests else {}


def _held_content(connection: Connection) -> HeldContent:
    # Streams first and digests last. Of a bundle that is imported in between, the content counts, but not the serial.
    # Content that is deleted in between has no name.
    streams = {row.stream: row.serial for row in connection.execute(_STREAMS)}
    brought = connection.execute(_BROUGHT).all()
    sources: dict[str, set[str]] = {}
    for row in brought:
        sources.setdefault(row.name, set()).add(row.source)
    names = dict(_names(connection.execute(_TAGS).all(), connection.execute(_MANIFESTS).all(), sources))
    names |= {f"{row.source}:{row.tag}": row.digest for row in brought}
    digests = {text: Digest.parse(text) for text in connection.execute(_DIGESTS).scalars()}
    held = {name: digests[digest] for name, digest in names.items() if digest in digests}
    return HeldContent(frozenset(digests.values()), held, streams)


def _names(tagged: Iterable[Any], held: Iterable[Any], sources: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield each name in the store with its digest. Names with a digest also as in the bundles of their repository."""
    for row in tagged:
        yield f"{row.name}:{row.tag}", row.digest
    for row in held:
        for name in (row.name, *sources.get(row.name, ())):
            yield f"{name}@{row.digest}", row.digest
