"""Events on their way to endpoints, in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, or_, select, update

from mirror.records.changes.change import ReaderPosition
from mirror.records.changes.deliveries import Delivery, EndpointCounts
from mirror.store.catalog import rows
from mirror.store.catalog.tables.change_tables import deliveries
from mirror.store.records.changes.sql_changes import move_reader
from mirror.store.store_services import StoreServices

_ENDPOINT: Final = deliveries.c.endpoint == bindparam("of_endpoint")
_IS_WAITING: Final = deliveries.c.due_at.is_not(None)
_THIS: Final = and_(_ENDPOINT, deliveries.c.change_id == bindparam("of_change"))
_HEADS: Final = select(func.min(deliveries.c.change_id)).where(_ENDPOINT, _IS_WAITING).group_by(deliveries.c.repository)
_DUE_REPOSITORIES: Final = (
    select(deliveries.c.repository)
    .where(
        _ENDPOINT,
        deliveries.c.change_id.in_(_HEADS),
        or_(deliveries.c.due_at <= bindparam("now"), deliveries.c.due_at > bindparam("latest")),
    )
    .order_by(deliveries.c.change_id)
    .limit(bindparam("most_repositories"))
)
_WAITING_IN: Final = (
    select(deliveries)
    .where(_ENDPOINT, _IS_WAITING, deliveries.c.repository.in_(bindparam("repositories", expanding=True)))
    .order_by(deliveries.c.change_id)
    .limit(bindparam("most"))
)
_FORMER: Final = delete(deliveries).where(
    deliveries.c.endpoint.not_in(bindparam("present", expanding=True)), deliveries.c.made_at < bindparam("before")
)
_DONE: Final = delete(deliveries).where(_THIS)
_FAILED: Final = (
    update(deliveries)
    .where(_THIS)
    .values(attempts=deliveries.c.attempts + 1, due_at=bindparam("next"), problem=bindparam("why"))
)
_OTHERS: Final = deliveries.alias()
#: Reason of the latest failure: of an event that waits, or else of a dead letter.
_PROBLEM: Final = (
    select(_OTHERS.c.problem)
    .where(_OTHERS.c.endpoint == deliveries.c.endpoint, _OTHERS.c.problem != "")
    .order_by(_OTHERS.c.due_at.is_(None), _OTHERS.c.change_id.desc())
    .limit(1)
    .scalar_subquery()
)
_COUNTS: Final = (
    select(
        deliveries.c.endpoint,
        func.count(deliveries.c.due_at).label("waiting"),
        func.count().label("all"),
        func.min(case((_IS_WAITING, deliveries.c.made_at))).label("oldest_at"),
        func.coalesce(_PROBLEM, "").label("problem"),
    )
    .group_by(deliveries.c.endpoint)
    .order_by(deliveries.c.endpoint)
)


class SqlDeliveries:
    """Implements :class:`mirror.records.changes.deliveries.Deliveries`. Nothing of these records is cached."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def take(
        self, made: Sequence[Delivery], reader: str, position: ReaderPosition, readers: Sequence[str]
    ) -> None:
        values = [asdict(one) for one in made]

        def work(connection: Connection) -> None:
            rows.put(connection, deliveries, *values)
            move_reader(connection, reader, position, readers)

        await self._catalog.write_uncached(work)

    async def due(
        self, endpoint: str, now: datetime, latest: datetime, most_repositories: int, most: int
    ) -> Sequence[Sequence[Delivery]]:
        wanted = {"of_endpoint": endpoint, "now": now, "latest": latest, "most_repositories": most_repositories}

        def work(connection: Connection) -> Sequence[Row[Any]]:
            due = connection.execute(_DUE_REPOSITORIES, wanted).scalars().all()
            if not due:
                return []
            within = {"of_endpoint": endpoint, "repositories": due, "most": most}
            return connection.execute(_WAITING_IN, within).all()

        found: dict[str, list[Delivery]] = {}
        for row in await self._catalog.read_long(work):
            found.setdefault(row.repository, []).append(_delivery(row))
        return list(found.values())

    async def delivered(self, endpoint: str, change_id: int) -> None:
        wanted = {"of_endpoint": endpoint, "of_change": change_id}
        await self._catalog.write_uncached(lambda connection: connection.execute(_DONE, wanted))

    async def failed(self, endpoint: str, change_id: int, due_at: datetime | None, problem: str) -> None:
        wanted = {"of_endpoint": endpoint, "of_change": change_id, "next": due_at, "why": problem}
        await self._catalog.write_uncached(lambda connection: connection.execute(_FAILED, wanted))

    async def dead_letters(self, endpoint: str | None) -> Sequence[Delivery]:
        wanted = select(deliveries).where(*_dead(endpoint, None)).order_by(*deliveries.primary_key)
        return [_delivery(row) for row in await self._catalog.read_long(lambda one: one.execute(wanted).all())]

    async def resend(self, endpoint: str, change_id: int | None, now: datetime) -> int:
        again = update(deliveries).where(*_dead(endpoint, change_id)).values(attempts=0, due_at=now, made_at=now)
        return await self._catalog.write_uncached(lambda connection: connection.execute(again).rowcount)

    async def forget(self, endpoints: Sequence[str], before: datetime) -> int:
        wanted = {"present": list(endpoints), "before": before}
        return await self._catalog.write_uncached(lambda connection: connection.execute(_FORMER, wanted).rowcount)

    async def counts(self) -> Sequence[EndpointCounts]:
        found = await self._catalog.read(lambda connection: connection.execute(_COUNTS).all())
        return [
            EndpointCounts(row.endpoint, row.waiting, row.all - row.waiting, row.oldest_at, row.problem)
            for row in found
        ]


def _dead(endpoint: str | None, change_id: int | None) -> list[Any]:
    conditions: list[Any] = [deliveries.c.due_at.is_(None)]
    if endpoint is not None:
        conditions.append(deliveries.c.endpoint == endpoint)
    if change_id is not None:
        conditions.append(deliveries.c.change_id == change_id)
    return conditions


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)
