"""The limits that an upstream states: ``Retry-After``, and Docker Hub's quota of manifest GETs."""

from __future__ import annotations

from mirror.runtime.clock import Clock
from mirror.wire.rate_limit import RateLimit

# Nobody may tell us to stay away for longer than this without being asked again.
_LONGEST_REST_SECONDS = 3600.0
# Below this share of the quota we slow down.
_SCARCE = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# Where a quota does not say its window: what Docker Hub's is.
_USUAL_WINDOW_SECONDS = 6 * 3600


class ServerQuota:
    """The limits that one upstream states, and the wait that they ask for.

    Args:
        clock: tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rest_until = 0.0
        self._quota_until = 0.0
        self.quota: RateLimit | None = None

    def update_quota(self, quota: RateLimit | None, retry_after_seconds: float | None, *, counts: bool) -> None:
        """Update the limits by an answer.

        Args:
            quota: what it said of the quota.
            retry_after_seconds: how long it wants to be left alone, where it answered 429 or 503.
            counts: whether the request was one that the quota counts.
        """
        now = self._clock.monotonic_seconds()
        self.quota = quota or self.quota
        spent = quota is not None and quota.remaining == 0
        if quota is not None:
            self._quota_until = now + _until_one_more(quota) if spent else 0.0
        if retry_after_seconds is not None:
            until = now + min(retry_after_seconds, _LONGEST_REST_SECONDS)
            if counts and spent:  # it is the quota that is spent: all other requests are welcome
                self._quota_until = until
            else:
                self._rest_until = until

    def wait_seconds(self, *, counts: bool) -> float:
        """Seconds to wait before a request; ``counts``: whether the quota counts it."""
        now = self._clock.monotonic_seconds()
        rest = max(self._rest_until - now, 0.0)
        if not counts or self.quota is None:
            return rest
        if self._quota_until:
            return max(rest, self._quota_until - now, 0.0)
        return max(rest, pause_seconds(self.quota))


def pause_seconds(quota: RateLimit) -> float:
    """Seconds to pause before each counted request: none, then ever more as the quota runs out."""
    scarce = quota.limit * _SCARCE
    if quota.remaining >= scarce:
        return 0.0
    pause = _LONGEST_PAUSE_SECONDS * (1 - quota.remaining / scarce)
    return min(pause, (quota.window_seconds or _USUAL_WINDOW_SECONDS) / quota.limit)


def _until_one_more(quota: RateLimit) -> float:
    """Seconds until one more request is likely to be allowed: the window slides."""
    return min((quota.window_seconds or _USUAL_WINDOW_SECONDS) / quota.limit, _LONGEST_REST_SECONDS)
