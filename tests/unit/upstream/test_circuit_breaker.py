from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.upstream.limits.circuit_breaker import BreakerState, BreakerThresholds, CircuitBreaker
from tests.support.clocks import HandClock

THRESHOLDS = BreakerThresholds(failures=3, rest_seconds=10, longest_rest_seconds=35)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def breaker(clock: HandClock) -> CircuitBreaker:
    return CircuitBreaker(THRESHOLDS, clock)


def fail(breaker: CircuitBreaker, times: int = 1, *, at_once: bool = False) -> bool:
    return [breaker.record_failure(breaker.admit(), "no route", at_once=at_once) for _ in range(times)][-1]


def test_failures_in_a_row_open_it(breaker: CircuitBreaker, clock: HandClock) -> None:
    assert not fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.opening is None
    assert fail(breaker)
    opening = breaker.opening
    assert breaker.state is BreakerState.OPEN
    assert opening is not None
    assert (opening.since, opening.why, opening.seconds_left) == (clock.now(), "no route", 10)


def test_a_success_in_between_begins_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert not breaker.record_success()
    assert not fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_a_connect_timeout_opens_it_alone(breaker: CircuitBreaker) -> None:
    assert fail(breaker, at_once=True)
    assert breaker.state is BreakerState.OPEN


def test_one_probe_is_let_through_and_its_success_closes(breaker: CircuitBreaker, clock: HandClock) -> None:
    fail(breaker, 3)
    clock.advance(seconds=10)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.opening is None
    breaker.admit()
    assert breaker.opening is not None, "a second request must not pass beside the probe"
    assert breaker.record_success()
    assert breaker.state is BreakerState.CLOSED
    assert not fail(breaker, 2)


def test_a_probe_that_fails_doubles_the_rest_up_to_its_ceiling(breaker: CircuitBreaker, clock: HandClock) -> None:
    fail(breaker, 3)
    since = breaker.opening.since if breaker.opening else None
    for rest_seconds in (20, 35, 35):
        clock.advance(seconds=40)
        assert fail(breaker)
        assert breaker.opening is not None
        assert breaker.opening.seconds_left == rest_seconds
        assert breaker.opening.since == since
    clock.advance(seconds=40)
    breaker.admit()
    breaker.record_success()
    fail(breaker, 3)
    assert breaker.opening is not None
    assert breaker.opening.seconds_left == 10


def test_a_probe_that_nobody_waits_for_makes_room_for_another(breaker: CircuitBreaker, clock: HandClock) -> None:
    fail(breaker, 3)
    clock.advance(seconds=10)
    breaker.record_abandoned(breaker.admit())
    assert breaker.opening is None
    breaker.admit()
    assert breaker.opening is not None


def test_failures_of_requests_that_began_before_it_opened_count_for_nothing(
    breaker: CircuitBreaker, clock: HandClock
) -> None:
    early = [breaker.admit() for _ in range(20)]
    fail(breaker, 3)
    for permit in early:
        assert not breaker.record_failure(permit, "no route", at_once=True)
    assert breaker.opening is not None
    assert breaker.opening.seconds_left == 10
    clock.advance(seconds=10)
    breaker.admit()
    breaker.record_abandoned(early[0])
    assert breaker.opening is not None, "the probe is still under way"


def test_a_late_answer_closes_it_and_the_probe_under_way_cannot_open_it_again(
    breaker: CircuitBreaker, clock: HandClock
) -> None:
    fail(breaker, 3)
    clock.advance(seconds=10)
    probe = breaker.admit()
    assert breaker.record_success()
    assert not breaker.record_failure(probe, "no route", at_once=True)
    assert breaker.state is BreakerState.CLOSED


@given(st.lists(st.sampled_from(["ok", "fail", "timeout", "abandon", "wait", "long wait"]), max_size=60))
def test_it_never_stays_open_beyond_its_longest_rest(events: list[str]) -> None:
    clock = HandClock()
    breaker = CircuitBreaker(THRESHOLDS, clock)
    for event in events:
        if event.endswith("wait"):
            clock.advance(seconds=36 if event.startswith("long") else 4)
        elif breaker.opening is None:
            permit = breaker.admit()
            if event == "ok":
                breaker.record_success()
            elif event == "abandon":
                breaker.record_abandoned(permit)
            else:
                breaker.record_failure(permit, "why", at_once=event == "timeout")
        opening = breaker.opening
        assert opening is None or 0 < opening.seconds_left <= 35
    clock.advance(seconds=36)
    assert breaker.opening is None
