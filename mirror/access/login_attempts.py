"""Rate limit of wrong passwords.

Wrong passwords are counted by client address and never by user, so nobody can lock out a user by guessing.
"""

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
# Bounds the memory: the least recently used address is dropped first.
_MOST_ADDRESSES: Final = 10_000


class LoginAttempts:
    """Token buckets of login attempts in this process, one for each client address.

    An attempt takes one token from the bucket. A right password puts the token back, and the bucket refills with time.

    Args:
        clock: source of the monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_at: LRUCache[str, float] = LRUCache(_MOST_ADDRESSES)

    def begin(self, address: str) -> None:
        """Count an attempt before the password is checked, so that concurrent attempts count too.

        Raises:
            TooManyRequests: the address sent too many wrong passwords lately. ``retry_after_seconds`` in the detail is
                the time until the next attempt is checked.
        """
        now, place = self._clock.monotonic_seconds(), client_key(address)
        # One number holds the bucket: the time at which all of its tokens are back.
        full_at = max(self._full_at.get(place, now), now) + PERIOD_SECONDS
        wait_seconds = full_at - now - BURST * PERIOD_SECONDS
        if wait_seconds > 0:
            raise TooManyRequests(
                f"too many wrong passwords from {address}; fix: try again later",
                retry_after_seconds=math.ceil(wait_seconds),
            )
        self._full_at[place] = full_at

    def __len__(self) -> int:
        """Return the number of addresses with a bucket."""
        return len(self._full_at)

    def was_right(self, address: str) -> None:
        """Take back the count of an attempt whose password was right."""
        place = client_key(address)
        if place in self._full_at:
            self._full_at[place] -= PERIOD_SECONDS
