"""Who is sending content, and how much at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mirror.oci.errors import TooManyRequests

_RETRY_AFTER_SECONDS: Final = 5


class Uploading:
    """Requests of this process that send content, by the address they come from.

    Args:
        most_per_client: how many one address may have at a time.

    Attributes:
        count: how many there are, of all addresses.
        refused: how many were one too many.
    """

    def __init__(self, most_per_client: int) -> None:
        self.count = 0
        self.refused = 0
        self._most_per_client = most_per_client
        self._by_client: Counter[str] = Counter()

    @contextmanager
    def one_of(self, client: str) -> Iterator[None]:
        """Count one more inside.

        Args:
            client: the address.

        Raises:
            TooManyRequests: it has as many as it may.
        """
        if self._by_client[client] >= self._most_per_client:
            self.refused += 1
            raise TooManyRequests(
                f"{client} is sending {self._most_per_client} uploads already: repeat this one later, "
                "or raise server.limits.uploads_per_client",
                limit=self._most_per_client,
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        self.count += 1
        self._by_client[client] += 1
        try:
            yield
        finally:
            self.count -= 1
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
