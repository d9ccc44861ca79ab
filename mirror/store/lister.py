"""Lists of the store's content, paged by the database."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from operator import attrgetter
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, Row, Select, exists, or_, select

from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import RepositoryUnknown
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.registry.port import Page
from mirror.store.catalog import rows
from mirror.store.catalog.tables.content_tables import blobs, manifests, repositories, repository_blobs, tags
from mirror.store.store_services import StoreServices
from mirror.wire.pagination import PageRequest

Entry = TypeVar("Entry")

#: Most characters of types and annotations in a page. Clients limit a list to the size of a manifest, and a single
#: referrer may have as many characters as a manifest has bytes.
_MOST_WEIGHT: Final = MAX_MANIFEST_BYTES
#: Repositories with a tag or a blob. Others hold only manifests that nobody can find by a name.
_LISTED: Final = select(repositories.c.name).where(
    or_(*(exists().where(held.c.repository_id == repositories.c.id) for held in (tags, repository_blobs)))
)
_SURROGATE = re.compile("[\ud800-\udfff]")


class StoreLister:
    """Implements :class:`mirror.registry.port.Lister`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        return await self._page(_LISTED, repositories.c.name, page, lambda row: Repository(row.name))

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        repository_id = await self._catalog.read(lambda connection: rows.find_repository(connection, repository))
        if repository_id is None:
            raise RepositoryUnknown(f"the registry has no repository {repository}", name=repository)
        statement = select(tags.c.name).where(tags.c.repository_id == repository_id)
        return await self._page(statement, tags.c.name, page, lambda row: Tag(row.name))

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        statement = (
            select(manifests, blobs.c.size_bytes)
            .join(repositories, repositories.c.id == manifests.c.repository_id)
            .join(blobs, blobs.c.digest == manifests.c.digest)
            .where(repositories.c.name == repository.name, manifests.c.subject == str(subject))
        )
        if artifact_type is not None:
            statement = statement.where(manifests.c.artifact_type == _text(artifact_type))
        return await self._page(statement, manifests.c.digest, page, _referrer, attrgetter("text_length"))

    async def _page(
        self,
        statement: Select[Any],
        key: Column[str],
        page: PageRequest,
        build: Callable[[Row[Any]], Entry],
        weigh: Callable[[Entry], int] = lambda _: 0,
    ) -> Page[Entry]:
        """Read a page. The page ends early if the weight of its entries exceeds :data:`_MOST_WEIGHT`."""
        if page.size == 0:
            return Page(())
        if page.last is not None:
            statement = statement.where(key > _text(page.last))
        # One row more than asked for tells whether there is a next page.
        wanted = statement.order_by(key).limit(page.size + 1)

        def read(connection: Connection) -> Page[Entry]:
            entries: list[Entry] = []
            left = _MOST_WEIGHT
            with closing(connection.execute(wanted)) as found:
                for row in found:
                    # Checked before adding: a page has at least one entry, however heavy.
                    if len(entries) == page.size or left < 0:
                        return Page(tuple(entries), more=True)
                    entries.append(build(row))
                    left -= weigh(entries[-1])
            return Page(tuple(entries))

        return await self._catalog.read_long(read)


def _referrer(row: Row[Any]) -> Descriptor:
    return Descriptor(
        row.media_type, Digest.parse(row.digest), row.size_bytes, row.artifact_type, row.annotations or {}
    )


def _text(value: str) -> str:
    """Replace surrogates, which a database cannot store. No name has them, so the order of names stays right."""
    return _SURROGATE.sub("\ufffd", value)
