"""Requests and connections that one client may have under way at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mirror.oci.errors import TooManyRequests
from mirror.server.http.refusal_log import RefusalLog

_RETRY_AFTER_SECONDS: Final = 5
#: Share of a limit from which on others will soon have to wait.
NEARLY: Final = 7 / 8


class ClientLimits:
    """Requests of one kind, or connections, that this process has under way, by client.

    Args:
        what: the kind, as in "has 256 uploads under way".
        most_per_client: how many one client may have at a time.
        refusals: told of each that was one too many; it names the setting.

    Attributes:
        count: how many there are, of all clients.
    """

    def __init__(self, what: str, most_per_client: int, refusals: RefusalLog) -> None:
        self.count = 0
        self._what = what
        self._most_per_client = most_per_client
        self._refusals = refusals
        self._by_client: Counter[str] = Counter()

    @property
    def refused(self) -> int:
        """Number of those that were one too many."""
        return self._refusals.count

    def are_nearly_taken(self, client: str) -> bool:
        """Tell whether the client has nearly as many as it may."""
        return self._by_client.get(client, 0) >= NEARLY * self._most_per_client

    def refuses(self, client: str | None) -> bool:
        """Tell whether the client has as many as it may; if so, count this one as refused."""
        if client is None or self._by_client.get(client, 0) < self._most_per_client:
            return False
        self._refusals.add(client)
        return True

    def add(self, client: str | None) -> None:
        """Count one more; None: of nobody in particular."""
        self.count += 1
        if client is not None:
            self._by_client[client] += 1

    def remove(self, client: str | None) -> None:
        """Count one less, which :meth:`add` has counted."""
        self.count -= 1
        if client is not None:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]

    @contextmanager
    def one_of(self, client: str) -> Iterator[None]:
        """Count one more inside.

        Args:
            client: whose it is.

        Raises:
            TooManyRequests: the client has as many as it may.
        """
        if self.refuses(client):
            raise TooManyRequests(
                f"{client} has {self._most_per_client} {self._what} under way already: repeat this one later, "
                f"or raise {self._refusals.setting}",
                limit=self._most_per_client,
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self.add(client)
        try:
            yield
        finally:
            self.remove(client)
