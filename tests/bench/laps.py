"""Clients that do the same thing over and over, several at once, in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Barrier

from tests.bench.sample import Outcome, percentile

_START_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Laps:
    """How long each lap of any client took, and all of them together."""

    seconds: float
    latencies_seconds: list[float]

    def outcome(self, amount_each: float) -> Outcome:
        """What they came to, where a lap does `amount_each` of the case's unit."""
        latencies = self.latencies_seconds
        return Outcome(
            amount=amount_each * len(latencies),
            seconds=self.seconds,
            p50_seconds=percentile(latencies, 50),
            p99_seconds=percentile(latencies, 99),
        )


def run_laps(clients: int, seconds: float, client: Callable[[], AbstractContextManager[Callable[[], None]]]) -> Laps:
    """Have `clients` threads do laps, begin none after `seconds`, and wait for the last.

    `client` gives each thread what does one lap, inside a `with` of its own. What a lap raises is raised in the end.
    """
    started: list[float] = []
    start_line = Barrier(clients, action=lambda: started.append(time.monotonic()), timeout=_START_TIMEOUT_SECONDS)

    def run() -> list[float]:
        latencies_seconds = []
        with client() as lap:
            start_line.wait()
            begin = now = time.monotonic()
            while now - begin < seconds:
                lap()
                latencies_seconds.append((after := time.monotonic()) - now)
                now = after
        return latencies_seconds

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(run) for _ in range(clients)]
        latencies_seconds = [latency for each in running for latency in each.result()]
        return Laps(time.monotonic() - started[0], latencies_seconds)


def run_once(clients: Sequence[Callable[[], None]]) -> Laps:
    """Have each of `clients` do its work once, all at the same time. What one raises is raised in the end."""
    begin = time.monotonic()

    def run(client: Callable[[], None]) -> float:
        client()
        return time.monotonic() - begin

    with ThreadPoolExecutor(len(clients)) as pool:
        latencies_seconds = list(pool.map(run, clients))
    return Laps(time.monotonic() - begin, latencies_seconds)
