"""Traffic by upstream and rule, in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from mirror.records.lifecycle.storage_numbers import Traffic, TrafficSource
from mirror.store.catalog.tables.collection_tables import traffic
from mirror.store.store_services import StoreServices

_NEW = insert(traffic)
_ADD: Final = _NEW.on_conflict_do_update(
    index_elements=list(traffic.primary_key),
    set_={column.name: column + _NEW.excluded[column.name] for column in traffic.columns if not column.primary_key},
)


class SqlTraffic:
    """Implements :class:`mirror.records.lifecycle.storage_numbers.TrafficRecords`. Nothing of it is cached."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def add(self, amounts: Mapping[TrafficSource, Traffic]) -> None:
        if amounts:
            await self._catalog.write_uncached(lambda connection: add_traffic(connection, amounts))

    async def all(self) -> Mapping[TrafficSource, Traffic]:
        statement = select(traffic).order_by(traffic.c.upstream, traffic.c.rule)
        found = await self._catalog.read_long(lambda connection: connection.execute(statement).all())
        return {
            TrafficSource(row.upstream, row.rule): Traffic(row.pulls, row.served_bytes, row.fetched_bytes)
            for row in found
        }


def add_traffic(connection: Connection, amounts: Mapping[TrafficSource, Traffic]) -> None:
    """Add amounts to those recorded so far. Only inside :meth:`Catalog.write` or :meth:`Catalog.write_uncached`."""
    connection.execute(
        _ADD,
        [
            {
                "upstream": source.upstream,
                "rule": source.rule,
                "pulls": each.pulls,
                "served_bytes": each.served_bytes,
                "fetched_bytes": each.fetched_bytes,
            }
            for source, each in amounts.items()
        ],
    )
