"""Clients that repeat one task, several at the same time, in threads."""

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
    """Duration of all laps.

    Attributes:
        seconds: Duration of the whole run.
        latencies_seconds: Duration of each lap of any client.
    """

    seconds: float
    latencies_seconds: list[float]

    def outcome(self, amount_each: float) -> Outcome:
        """Return the outcome of the run. Each lap counts `amount_each` of the case's unit."""
        latencies = self.latencies_seconds
        return Outcome(
            amount=amount_each * len(latencies),
            seconds=self.seconds,
            p50_seconds=percentile(latencies, 50),
            p99_seconds=percentile(latencies, 99),
        )


def run_laps(clients: int, seconds: float, client: Callable[[], AbstractContextManager[Callable[[], None]]]) -> Laps:
    """Run laps in `clients` threads. No lap begins after `seconds`, and all laps are finished.

    Args:
        clients: Number of threads.
        seconds: Time during which laps may begin.
        client: Context manager of one thread. The context manager yields the function that runs one lap.

    Raises:
        Exception: The first error of a lap, after all threads have ended.
    """
    started: list[float] = []
    # All clients start at the same moment, after the slowest one has connected.
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
    """Run each client once, all at the same time. An error of a client is raised after all have ended."""
    begin = time.monotonic()

    def run(client: Callable[[], None]) -> float:
        client()
        return time.monotonic() - begin

    with ThreadPoolExecutor(len(clients)) as pool:
        latencies_seconds = list(pool.map(run, clients))
    return Laps(time.monotonic() - begin, latencies_seconds)
