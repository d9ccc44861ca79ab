"""Wrong passwords, counted by where they come from. Never by user: nobody can be locked out by others' guesses."""

from __future__ import annotations

import math
from typing import Final

from cachetools import LRUCache

from mirror.oci.errors import TooManyRequests
from mirror.runtime.clock import Clock
from mirror.wire.client_address import client_key

#: Wrong passwords that an address may send at once, and the seconds after which it may send one more. Engines try one
#: wrong password up to eight times during an install.
BURST: Final = 20
PERIOD_SECONDS: Final = 3.0
_MOST_ADDRESSES: Final = 10_000


class LoginAttempts:
    """Who has guessed lately, in this process.

    Each address has a bucket: an attempt takes from it, a right one puts back, time fills it up.

    Args:
        clock: tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_at: LRUCache[str, float] = LRUCache(_MOST_ADDRESSES)

    def begin(self, address: str) -> None:
        """Count an attempt before it is looked at, so that many at once count, too.

        Raises:
            TooManyRequests: too many were wrong lately; ``retry_after_seconds`` says when the next one is looked at.
        """
        now, place = self._clock.monotonic_seconds(), client_key(address)
        full_at = max(self._full_at.get(place, now), now) + PERIOD_SECONDS
        wait_seconds = full_at - now - BURST * PERIOD_SECONDS
        if wait_seconds > 0:
            raise TooManyRequests(
                f"too many wrong passwords from {address}: try again later",
                retry_after_seconds=math.ceil(wait_seconds),
            )
        self._full_at[place] = full_at

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._full_at)

    def was_right(self, address: str) -> None:
        """Take an attempt back."""
        place = client_key(address)
        if place in self._full_at:
            self._full_at[place] -= PERIOD_SECONDS
