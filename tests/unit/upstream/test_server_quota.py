from __future__ import annotations

import pytest

from mirror.upstream.limits.server_quota import ServerQuota, pause_seconds
from mirror.wire.rate_limit import RateLimit
from tests.support.clocks import HandClock

WINDOW = 21600


@pytest.mark.parametrize(("remaining", "seconds"), [(100, 0), (50, 0), (10, 0), (9, 0.5), (5, 2.5), (1, 4.5), (0, 5)])
def test_pauses_grow_as_the_quota_runs_out(remaining: int, seconds: float) -> None:
    assert pause_seconds(RateLimit(100, remaining, WINDOW)) == pytest.approx(seconds)


def test_a_large_quota_is_not_paused_longer_than_it_takes_to_refill() -> None:
    assert pause_seconds(RateLimit(100_000, 1, WINDOW)) == pytest.approx(0.216)


@pytest.mark.parametrize(
    ("quota", "retry", "counts", "counted_waits", "others_wait"),
    [
        (None, None, True, 0, 0),
        (None, 30.0, False, 30, 30),
        (None, 1e9, False, 3600, 3600),
        (RateLimit(100, 80, WINDOW), None, True, 0, 0),
        (RateLimit(100, 0, WINDOW), None, False, 216, 0),
        (RateLimit(100, 0, None), None, True, 216, 0),
        (RateLimit(100, 0, WINDOW), 60.0, True, 60, 0),
        (RateLimit(100, 80, WINDOW), 60.0, True, 60, 60),
        (RateLimit(1, 0, 999_999_999), None, True, 3600, 0),
    ],
)
def test_what_an_answer_makes_us_wait(
    quota: RateLimit | None, retry: float | None, counts: bool, counted_waits: float, others_wait: float
) -> None:
    allowance = ServerQuota(HandClock())
    allowance.update_quota(quota, retry, counts=counts)
    assert allowance.wait_seconds(counts=True) == pytest.approx(counted_waits)
    assert allowance.wait_seconds(counts=False) == pytest.approx(others_wait)


def test_the_wait_ends_by_itself_and_by_a_better_answer() -> None:
    clock = HandClock()
    allowance = ServerQuota(clock)
    allowance.update_quota(RateLimit(100, 0, WINDOW), None, counts=True)
    clock.advance(seconds=216)
    assert allowance.wait_seconds(counts=True) == 0
    allowance.update_quota(RateLimit(100, 0, WINDOW), None, counts=True)
    allowance.update_quota(RateLimit(100, 100, WINDOW), None, counts=False)
    assert allowance.wait_seconds(counts=True) == 0
    assert allowance.quota == RateLimit(100, 100, WINDOW)
    allowance.update_quota(None, None, counts=True)
    assert allowance.quota == RateLimit(100, 100, WINDOW)
