"""Docker hosts that have pulled plugins, in the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Delete, Select, bindparam, case, delete, func, select, true, tuple_
from sqlalchemy.dialects.sqlite import insert  # PostgreSQL's insert() has the same methods

from mirror.records.hosts import Host, SeenHost
from mirror.store.catalog.tables.access_tables import hosts as table
from mirror.store.store_services import StoreServices

#: Most hosts that are kept, of all networks and of one network. A client can make up as many hosts as it likes, and one
#: network must not displace the hosts of others.
MOST_HOSTS: Final = 10_000
MOST_HOSTS_OF_A_NETWORK: Final = 1_000

_NEW = insert(table)
#: Widens the time span of a known host. Processes record their hosts in any order.
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
    """Implements :class:`mirror.records.hosts.Hosts`. Nothing of hosts is cached, so a write keeps all caches valid."""

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
    """Select all hosts but the ``most`` ones that were seen last."""
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
