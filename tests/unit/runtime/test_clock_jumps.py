"""Moments before and after a jump of the clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.runtime.clock_jumps import ClockJumps
from tests.support.clocks import START, HandClock

HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


def test_without_a_jump_moments_stay_as_they_are() -> None:
    clock = HandClock()
    jumps = ClockJumps(clock)
    clock.advance(days=100)
    clock.set(seconds=200)  # a correction by a time server
    assert jumps.trusted(START - YEAR) == START - YEAR
    assert jumps.trusted(clock.now()) == clock.now()


@pytest.mark.parametrize("days", [365, -1])
def test_after_a_jump_durations_are_counted_from_the_jump(days: int) -> None:
    clock = HandClock()
    jumps = ClockJumps(clock)
    clock.advance(hours=1)
    clock.set(days=days)
    jumped_at = clock.now()
    assert jumps.trusted(START) == jumped_at
    clock.advance(hours=2)
    assert jumps.trusted(START) == jumped_at
    assert jumps.trusted(jumped_at + HOUR) == jumped_at + HOUR


def test_a_moment_in_the_future_counts_from_the_start_of_the_process() -> None:
    clock = HandClock()
    jumps = ClockJumps(clock)
    clock.advance(hours=3)
    assert jumps.trusted(START + YEAR) == START


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(-(10**8), 10**8)), max_size=5), st.integers(-(10**8), 10**8)
)
def test_what_nobody_touches_gets_old_whatever_is_done_to_the_clock(changes: list[tuple[int, int]], at: int) -> None:
    clock = HandClock()
    jumps, moment = ClockJumps(clock), START + timedelta(seconds=at)
    for advanced, changed in changes:
        clock.advance(seconds=advanced)
        clock.set(seconds=changed)
        assert jumps.trusted(moment) <= clock.now()
    jumps.trusted(moment)
    clock.advance(days=2)
    assert clock.now() - jumps.trusted(moment) >= timedelta(days=1) or moment > clock.now() - timedelta(days=1)
