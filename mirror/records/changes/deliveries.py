"""Events on their way to endpoints: each waits until its endpoint has taken it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.records.changes.change import ReaderPosition


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event for an endpoint.

    Attributes:
        endpoint: name of the endpoint.
        change_id: number of the change that the event tells.
        repository: name of the repository; empty for changes outside repositories. Events of one repository go out in
            order.
        body: the event, as a JSON document.
        made_at: time at which the event began to wait, in UTC.
        attempts: attempts that have failed.
        due_at: time of the next attempt, in UTC; None for a dead letter.
        problem: reason of the last failure; empty for none.
    """

    endpoint: str
    change_id: int
    repository: str
    body: str
    made_at: datetime
    attempts: int = 0
    due_at: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """Events of an endpoint.

    Attributes:
        endpoint: name of the endpoint.
        waiting: number of events that wait.
        dead: number of dead letters.
        oldest_at: time since which the oldest waiting event waits; None for none.
        problem: reason of the latest failure of an event that waits, or else of a dead letter; empty for none.
    """

    endpoint: str
    waiting: int
    dead: int
    oldest_at: datetime | None
    problem: str = ""


class Deliveries(Protocol):
    """Port to events on their way."""

    async def take(
        self, made: Sequence[Delivery], reader: str, position: ReaderPosition, readers: Sequence[str]
    ) -> None:
        """Record events, and move the place of their reader, in one transaction.

        Args:
            made: new events.
            reader: the endpoint as a reader of changes.
            position: its new place.
            readers: names of all readers, see :meth:`mirror.records.changes.change.ChangeLog.advance`.
        """
        ...

    async def due(
        self, endpoint: str, now: datetime, latest: datetime, most_repositories: int, most: int
    ) -> Sequence[Sequence[Delivery]]:
        """Return the waiting events of each repository whose first one is due, in order.

        Args:
            endpoint: name of the endpoint.
            now: the present time.
            latest: events that are to wait longer than until then are due too, because the clock was set back.
            most_repositories: largest number of repositories.
            most: largest number of events of all these repositories.
        """
        ...

    async def delivered(self, endpoint: str, change_id: int) -> None:
        """Remove an event that the endpoint has taken."""
        ...

    async def failed(self, endpoint: str, change_id: int, due_at: datetime | None, problem: str) -> None:
        """Record a failed attempt, and the time of the next one; None makes the event a dead letter."""
        ...

    async def dead_letters(self, endpoint: str | None) -> Sequence[Delivery]:
        """Return the dead letters of one or all endpoints, in order."""
        ...

    async def resend(self, endpoint: str, change_id: int | None, now: datetime) -> int:
        """Let dead letters of an endpoint, or one of them, wait again. Return their number."""
        ...

    async def forget(self, endpoints: Sequence[str], before: datetime) -> int:
        """Remove events of endpoints other than these that were made before a time. Return their number."""
        ...

    async def counts(self) -> Sequence[EndpointCounts]:
        """Return the numbers of events of each endpoint that has any."""
        ...
