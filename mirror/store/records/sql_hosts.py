"""Docker hosts that have pulled plugins, kept in the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Delete, Select, bindparam, case, delete, func, select, true, tuple_
from sqlalchemy.dialects.sqlite import insert  # PostgreSQL's has the same methods

from mirror.records.hosts import Host, SeenHost
from mirror.store.catalog.access_tables import hosts as table
from mirror.store.store_services import StoreServices

#: Hosts that are remembered, in all and of one network.
MOST_HOSTS: Final = 10_000
MOST_HOSTS_OF_A_NETWORK: Final = 1_000

_NEW = insert(table)
_SEEN = _NEW.on_conflict_do_update(
    index_elements=list(table.primary_key),
    set_={
        "first_seen": case(
            (_NEW.excluded.first_seen < table.c.first_seen, _NEW.excluded.first_seen), else_=table.c.first_seen
        ),
        "last_seen": case(
            (_NEW.excluded.last_seen > table.c.last_seen, _NEW.excluded.last_seen), else_=table.c.last_seen
        ),
    },
)
_LISTED = select(table).order_by(table.c.last_seen.desc(), *table.primary_key)


class SqlHosts:
    """Implements :class:`mirror.records.hosts.Hosts`. Nothing in memory is made of them: a write ends no cache."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def record_hosts(self, seen: Mapping[Host, datetime]) -> None:
        found = [
            {**asdict(host), "network": host.network, "first_seen": at, "last_seen": at} for host, at in seen.items()
        ]

        def write(connection: Connection) -> None:
            connection.execute(_SEEN, found)
            _forget(connection, {str(row["network"]) for row in found})

        if found:
            await self._catalog.write_uncached(write)

    async def hosts(self) -> Sequence[SeenHost]:
        rows = await self._catalog.read_long(lambda connection: connection.execute(_LISTED).all())
        return [
            SeenHost(Host(row.address, row.engine, row.os, row.architecture), row.first_seen, row.last_seen)
            for row in rows
        ]


def _longest_unseen(among: ColumnElement[bool]) -> Select[tuple[str, str, str, str]]:
    """The hosts beyond a number that is to stay, the latest first."""
    key = (table.c.address, table.c.engine, table.c.os, table.c.architecture)
    latest = table.c.last_seen.desc()
    return select(*key).where(among).order_by(latest, *key).offset(bindparam("most"))


def _dropping(among: ColumnElement[bool]) -> Delete:
    return delete(table).where(tuple_(*table.primary_key).in_(_longest_unseen(among)))


_DROP_OF_NETWORK = _dropping(table.c.network == bindparam("of"))
_DROP = _dropping(true())
_COUNT_OF_NETWORK = select(func.count()).where(table.c.network == bindparam("of"))
_COUNT = select(func.count()).select_from(table)


def _forget(connection: Connection, networks: Iterable[str]) -> None:
    for network in networks:
        if connection.execute(_COUNT_OF_NETWORK, {"of": network}).scalar_one() > MOST_HOSTS_OF_A_NETWORK:
            connection.execute(_DROP_OF_NETWORK, {"of": network, "most": MOST_HOSTS_OF_A_NETWORK})
    if connection.execute(_COUNT).scalar_one() > MOST_HOSTS:
        connection.execute(_DROP, {"most": MOST_HOSTS})
