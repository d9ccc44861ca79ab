"""Holders of content in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mirror.records.lifecycle.content_holders import ContentHolder, HolderPurpose, RecordedHolder
from mirror.store.catalog.tables.collection_tables import content_holders, held_content
from mirror.store.store_services import StoreServices

_HOLDER: Final = content_holders.c
_NEW: Final = insert(content_holders)
_NEW_CONTENT: Final = insert(held_content)
# The foreign key removes the content of a holder with its row.
_NO_LONGER: Final = delete(content_holders).where(_HOLDER.id == bindparam("holder"))
_ENDED: Final = delete(content_holders).where(_HOLDER.until <= bindparam("now"))
_EXTENDED: Final = update(content_holders).where(_HOLDER.id == bindparam("holder")).values(until=bindparam("later"))
_CURRENT: Final = (
    select(_HOLDER.purpose, _HOLDER.detail, _HOLDER.began_at, _HOLDER.until)
    .where(_HOLDER.until > bindparam("now"))
    .order_by(_HOLDER.began_at)
)


class SqlHolders:
    """Implements :class:`mirror.records.lifecycle.content_holders.ContentHolders`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def hold(self, holder: ContentHolder, lease: timedelta) -> None:
        now = self._clock.now()

        def write(connection: Connection) -> None:
            connection.execute(_ENDED, {"now": now})  # those of killed processes
            connection.execute(_NO_LONGER, {"holder": holder.id})
            _add(connection, holder, now, now + lease)

        await self._catalog.write_uncached(write)

    async def extend(self, holder: ContentHolder, lease: timedelta) -> None:
        now = self._clock.now()

        def write(connection: Connection) -> None:
            if not connection.execute(_EXTENDED, {"holder": holder.id, "later": now + lease}).rowcount:
                _add(connection, holder, now, now + lease)

        await self._catalog.write_uncached(write)

    async def release(self, holder: ContentHolder) -> None:
        await self._catalog.write_uncached(lambda connection: connection.execute(_NO_LONGER, {"holder": holder.id}))

    async def holders(self) -> Sequence[RecordedHolder]:
        now = self._clock.now()
        found = await self._catalog.read(lambda connection: connection.execute(_CURRENT, {"now": now}).all())
        return [RecordedHolder(HolderPurpose(row.purpose), row.detail, row.began_at, row.until) for row in found]


def _add(connection: Connection, holder: ContentHolder, now: datetime, until: datetime) -> None:
    row = {
        "id": holder.id,
        "purpose": holder.purpose.value,
        "detail": holder.detail,
        "began_at": now,
        "until": until,
    }
    connection.execute(_NEW, row)
    content = [
        {
            "holder": holder.id,
            "repository": "" if repository is None else repository.name,
            "digest": "" if digest is None else str(digest),
        }
        for repository, digest in {*holder.content}
    ]
    if content:
        connection.execute(_NEW_CONTENT, content)
