"""Sends changes to an endpoint as events: at least once, and in order for each repository."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

import structlog

from mirror.events.cloud_events import CONTENT_TYPE, cloud_event, event_id
from mirror.events.webhook_signing import WebhookSecret, webhook_headers
from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import printable
from mirror.records.changes.change import ChangeLog, ReaderPosition, RecordedChange
from mirror.records.changes.deliveries import Deliveries, Delivery
from mirror.runtime.clock import Clock
from mirror.runtime.retry_policy import RetryPolicy

_LOG = structlog.get_logger(__name__)

#: Events whose endpoint has not taken them within a day become dead letters.
RETRIES: Final = RetryPolicy(attempts=None, first_delay_seconds=5, longest_delay_seconds=3600, total_seconds=24 * 3600)
_MOST_CHANGES: Final = 500
#: Events that are sent at the same time, each of another repository.
_MOST_AT_ONCE: Final = 4
#: Events that are looked up at once, because the search for the first ones looks at all that wait.
_MOST_DUE: Final = 200
#: Time after which a round sends no further event, so that other repositories have their turn.
_ROUND_SECONDS: Final = 10.0
#: No attempt is planned for a time as late as this, unless the clock was set back since.
_LATEST: Final = timedelta(seconds=2 * RETRIES.longest_delay_seconds)
_MOST_PROBLEM: Final = 300

#: Sends a POST request with headers and a body to a URL, and returns the status of the answer. Raises PostFailed.
Post: TypeAlias = Callable[[str, dict[str, str], bytes], Awaitable[int]]


class PostFailed(Exception):
    """No answer came from an endpoint."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place that receives events.

    Attributes:
        name: name of the endpoint.
        url: URL that receives POST requests.
        kinds: kinds of changes that are sent, each whole or the part before a dot; none for all.
        secrets: returns the secrets that sign. Raises ConfigurationFault if they cannot be read. Blocks.
    """

    name: str
    url: str
    kinds: tuple[str, ...]
    secrets: Callable[[], Sequence[WebhookSecret]]

    @property
    def reader(self) -> str:
        """Name of the endpoint among the readers of changes."""
        return f"event:{self.name}"

    def wants(self, recorded: RecordedChange) -> bool:
        """Return True if the endpoint receives a change."""
        kind = f"{recorded.change.kind}."
        return not self.kinds or any(kind.startswith(f"{one}.") for one in self.kinds)


class EventSender:
    """Sends events to one endpoint. One process at a time may do so for an endpoint.

    Args:
        endpoint: the endpoint.
        log: recorded changes.
        deliveries: events on their way.
        post: sends a request.
        clock: source of the current time.
        source: address of this registry, in events.
        readers: names of all readers of changes.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        log: ChangeLog,
        deliveries: Deliveries,
        post: Post,
        clock: Clock,
        *,
        source: str,
        readers: Sequence[str],
    ) -> None:
        self._endpoint = endpoint
        self._log = log
        self._deliveries = deliveries
        self._post = post
        self._clock = clock
        self._source = source
        self._readers = readers

    async def round(self) -> bool:
        """Take new changes, and send the events that are due. Return True if any was sent or failed.

        Raises:
            MirrorError: the catalog failed. No event is lost.
        """
        await self._take()
        now, until = self._clock.now(), self._clock.monotonic_seconds() + _ROUND_SECONDS
        due = await self._deliveries.due(self._endpoint.name, now, now + _LATEST, _MOST_AT_ONCE, _MOST_DUE)
        # All end before the next round begins, also if the catalog fails for one: no event overtakes another.
        ended = await asyncio.gather(*(self._deliver_all(each, until) for each in due), return_exceptions=True)
        for failure in filter(None, ended):
            raise failure
        return bool(due)

    async def _take(self) -> None:
        name, reader, now = self._endpoint.name, self._endpoint.reader, self._clock.now()
        position = await self._log.position(reader)
        stream = position.mark or secrets.token_hex(8)
        while True:
            changes = await self._log.read(position.change_id, _MOST_CHANGES)
            if not changes and position.mark:
                return
            made = [
                Delivery(name, one.id, one.change.repository, cloud_event(one, stream, self._source), now, due_at=now)
                for one in changes
                if self._endpoint.wants(one)
            ]
            position = ReaderPosition(changes[-1].id if changes else position.change_id, stream)
            await self._deliveries.take(made, reader, position, self._readers)

    async def _deliver_all(self, deliveries: Sequence[Delivery], until_seconds: float) -> None:
        """Send the events of one repository in order, until one fails or the round has lasted long enough."""
        for delivery in deliveries:
            if not await self._deliver(delivery) or self._clock.monotonic_seconds() >= until_seconds:
                return

    async def _deliver(self, delivery: Delivery) -> bool:
        """Send an event, and record the result. Return True if the endpoint has taken it."""
        problem = await self._problem_of(delivery)
        if problem is None:
            await self._deliveries.delivered(delivery.endpoint, delivery.change_id)
            return True
        now, failures = self._clock.now(), delivery.attempts + 1
        delay = next(delay for number, delay in enumerate(RETRIES.delays(), 1) if number == min(failures, 20))
        # Spread, so that the events of many repositories do not all come at the same moment.
        due_at = now + timedelta(seconds=delay * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        is_dead = not RETRIES.allows_another(failures, (due_at - delivery.made_at).total_seconds())
        told = {"endpoint": delivery.endpoint, "id": event_id(delivery.body), "reason": problem}
        if is_dead:
            _LOG.error("event became a dead letter", **told, fix="plugin-mirror events resend")
        elif failures == 1:
            _LOG.warning("event could not be delivered", **told)
        await self._deliveries.failed(delivery.endpoint, delivery.change_id, None if is_dead else due_at, problem)
        return False

    async def _problem_of(self, delivery: Delivery) -> str | None:
        """Send an event once. Return the reason for a failure, or None."""
        body = delivery.body.encode()
        try:
            keys = await asyncio.to_thread(self._endpoint.secrets)
            seconds = int(self._clock.now().timestamp())
            headers = webhook_headers(event_id(delivery.body), seconds, body, keys)
            status = await self._post(self._endpoint.url, {**headers, "Content-Type": CONTENT_TYPE}, body)
        except (ConfigurationFault, PostFailed) as error:
            return printable(str(error), _MOST_PROBLEM)
        return None if 200 <= status < 300 else f"the endpoint answered {status}"
