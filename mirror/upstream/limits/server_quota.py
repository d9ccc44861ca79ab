"""Limits announced by an upstream: ``Retry-After``, and Docker Hub's quota of manifest GETs."""

from __future__ import annotations

from mirror.runtime.clock import Clock
from mirror.wire.rate_limit import RateLimit

# Longest accepted ``Retry-After``. After this time the upstream is asked again, whatever it requested.
_LONGEST_REST_SECONDS = 3600.0
# Below this share of the quota, counted requests slow down, so the rest of the quota lasts.
_SCARCE = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
# Default window of a quota without one: the window of Docker Hub.
_USUAL_WINDOW_SECONDS = 6 * 3600


class ServerQuota:
    """The limits announced by one upstream, and the resulting delays.

    Args:
        clock: current time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rest_until = 0.0
        self._quota_until = 0.0
        self.quota: RateLimit | None = None

    def update_quota(self, quota: RateLimit | None, retry_after_seconds: float | None, *, counts: bool) -> None:
        """Update the limits from an answer.

        Args:
            quota: the quota in the answer, if any.
            retry_after_seconds: the requested pause, if the status was 429 or 503.
            counts: True if the quota counts the request.
        """
        now = self._clock.monotonic_seconds()
        self.quota = quota or self.quota
        spent = quota is not None and quota.remaining == 0
        if quota is not None:
            self._quota_until = now + _until_one_more(quota) if spent else 0.0
        if retry_after_seconds is not None:
            until = now + min(retry_after_seconds, _LONGEST_REST_SECONDS)
            if counts and spent:  # only the quota is used up: requests that do not count may continue
                self._quota_until = until
            else:
                self._rest_until = until

    def wait_seconds(self, *, counts: bool) -> float:
        """Return the seconds to wait before a request. ``counts`` is True if the quota counts the request."""
        now = self._clock.monotonic_seconds()
        rest = max(self._rest_until - now, 0.0)
        if not counts or self.quota is None:
            return rest
        if self._quota_until:
            return max(rest, self._quota_until - now, 0.0)
        return max(rest, pause_seconds(self.quota))


def pause_seconds(quota: RateLimit) -> float:
    """Return the pause in seconds before each counted request. The pause grows as the quota runs out."""
    scarce = quota.limit * _SCARCE
    if quota.remaining >= scarce:
        return 0.0
    pause = _LONGEST_PAUSE_SECONDS * (1 - quota.remaining / scarce)
    # A longer pause than the time in which one request is regained would leave quota unused.
    return min(pause, (quota.window_seconds or _USUAL_WINDOW_SECONDS) / quota.limit)


def _until_one_more(quota: RateLimit) -> float:
    """Return the seconds until one more request is probably allowed, because the quota is a sliding window."""
    return min((quota.window_seconds or _USUAL_WINDOW_SECONDS) / quota.limit, _LONGEST_REST_SECONDS)
