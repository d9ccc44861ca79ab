"""Limits on the requests and connections that one client may have at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mirror.oci.errors import TooManyRequests
from mirror.server.http.refusal_log import RefusalLog

_RETRY_AFTER_SECONDS: Final = 5
#: Share of a limit from which on other requests will soon have to wait.
NEARLY: Final = 7 / 8


class ClientLimits:
    """Counts requests of one kind, or connections, of this process per client.

    Args:
        what: the plural noun used in messages, such as "uploads".
        most_per_client: the limit per client.
        refusals: records each refusal, and names the setting that holds the limit.

    Attributes:
        count: current number for all clients together.
        most_per_client: the limit per client.
    """

    def __init__(self, what: str, most_per_client: int, refusals: RefusalLog) -> None:
        self.count = 0
        self.most_per_client = most_per_client
        self._what = what
        self._refusals = refusals
        self._by_client: Counter[str] = Counter()

    @property
    def refused(self) -> int:
        """Number of refusals so far."""
        return self._refusals.count

    def are_nearly_taken(self, client: str) -> bool:
        """Return True if the client has reached 7/8 of its limit."""
        return self._by_client.get(client, 0) >= NEARLY * self.most_per_client

    def refuses(self, client: str | None) -> bool:
        """Return True, and record a refusal, if the client has reached its limit. Return False for a client of None."""
        if client is None or self._by_client.get(client, 0) < self.most_per_client:
            return False
        self._refusals.add(client)
        return True

    def add(self, client: str | None) -> None:
        """Count one more for the client; None counts for no client."""
        self.count += 1
        if client is not None:
            self._by_client[client] += 1

    def remove(self, client: str | None) -> None:
        """Undo one :meth:`add` for the client."""
        self.count -= 1
        if client is not None:
            self._by_client[client] -= 1
            # Clients without anything under way are forgotten, or every address ever seen would stay in memory.
            if not self._by_client[client]:
                del self._by_client[client]

    @contextmanager
    def one_of(self, client: str) -> Iterator[None]:
        """Count one more inside the ``with`` block.

        Args:
            client: the client to count for.

        Raises:
            TooManyRequests: the client has reached its limit.
        """
        if self.refuses(client):
            raise TooManyRequests(
                f"{client} already has {self.most_per_client} {self._what} under way, the limit for one client; "
                f"fix: try again later, or raise {self._refusals.setting}",
                limit=self.most_per_client,
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self.add(client)
        try:
            yield
        finally:
            self.remove(client)
