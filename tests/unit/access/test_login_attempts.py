"""Failed logins, counted by client address."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mirror.access.login_attempts import BURST, PERIOD_SECONDS, LoginAttempts
from mirror.oci.errors import TooManyRequests
from tests.support.clocks import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def attempts(clock: HandClock) -> LoginAttempts:
    return LoginAttempts(clock)


def most(begin: Callable[[], None]) -> int:
    for count in range(1000):
        try:
            begin()
        except TooManyRequests:
            return count
    return 1000


def test_an_address_is_held_up_after_so_many(attempts: LoginAttempts) -> None:
    assert most(lambda: attempts.begin("10.0.0.1")) == BURST
    assert most(lambda: attempts.begin("10.0.0.2")) == BURST


def test_time_lets_one_more_through_and_the_error_says_when(attempts: LoginAttempts, clock: HandClock) -> None:
    most(lambda: attempts.begin("10.0.0.1"))
    with pytest.raises(TooManyRequests) as refused:
        attempts.begin("10.0.0.1")
    seconds = float(refused.value.detail["retry_after_seconds"])
    assert seconds == PERIOD_SECONDS
    clock.advance(seconds=seconds)
    assert most(lambda: attempts.begin("10.0.0.1")) == 1
    clock.advance(seconds=1000 * PERIOD_SECONDS)
    assert most(lambda: attempts.begin("10.0.0.1")) == BURST


def test_what_is_right_does_not_count(attempts: LoginAttempts) -> None:
    for _ in range(10 * BURST):
        attempts.begin("10.0.0.1")
        attempts.was_right("10.0.0.1")
    assert most(lambda: attempts.begin("10.0.0.1")) == BURST


def test_a_network_of_ipv6_addresses_is_one_client(attempts: LoginAttempts) -> None:
    numbers = iter(range(1, 1000))
    assert most(lambda: attempts.begin(f"2001:db8::{next(numbers):x}")) == BURST
    assert most(lambda: attempts.begin("2001:db8:0:1::1")) == BURST
    assert most(lambda: attempts.begin("fe80::1%eth0")) == BURST
    assert most(lambda: attempts.begin("not an address")) == BURST


def test_only_so_many_addresses_are_remembered(attempts: LoginAttempts) -> None:
    for number in range(30_000):
        attempts.begin(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts) == 10_000
