"""Clients that repeat one action."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.bench.laps import Laps, run_laps, run_once


def test_every_client_does_a_lap_of_its_own_before_the_time_is_over() -> None:
    threads: set[int] = set()
    entered = []

    @contextmanager
    def client() -> Iterator[Callable[[], None]]:
        entered.append(threading.get_ident())
        yield lambda: threads.add(threading.get_ident())

    laps = run_laps(4, 0.05, client)
    assert len(threads) == 4
    assert sorted(entered) == sorted(threads)
    assert len(laps.latencies_seconds) >= 4
    assert laps.seconds >= 0.05


def test_what_a_lap_raises_is_raised() -> None:
    @contextmanager
    def client() -> Iterator[Callable[[], None]]:
        def lap() -> None:
            raise ConnectionResetError

        yield lap

    with pytest.raises(ConnectionResetError):
        run_laps(2, 0.01, client)


def test_once_means_once_and_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)

    def client() -> None:
        together.wait()

    laps = run_once([client] * 3)
    assert len(laps.latencies_seconds) == 3


def test_laps_come_to_an_amount_with_latencies() -> None:
    outcome = Laps(2.0, [0.3, 0.1, 0.2]).outcome(amount_each=10)
    assert (outcome.amount, outcome.seconds, outcome.p50_seconds, outcome.p99_seconds) == (30, 2.0, 0.2, 0.3)
