"""Results of measurements, and their medians and ratios. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a load, as seen by its generator.

    Attributes:
        amount: Amount of work done, in the case's unit.
        seconds: Duration of the load.
        p50_seconds: Median latency.
        p99_seconds: 99th percentile of the latency.
        errors: Number of missing or wrong responses.
        figures: Further figures of the case, by name.
    """

    amount: float
    seconds: float
    p50_seconds: float
    p99_seconds: float
    errors: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time and memory of a server under load.

    Attributes:
        cpu_seconds: CPU time of all of its processes.
        rss_bytes: Largest sum of the resident memory of its processes.
        largest_rss_bytes: Largest resident memory of a single process.
        other_cpu_share: Share of the machine's CPU time used by neither the server nor the benchmark, from 0 to 1.
    """

    cpu_seconds: float
    rss_bytes: int
    largest_rss_bytes: int
    other_cpu_share: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one contestant."""

    outcome: Outcome
    cost: Cost

    @property
    def rate(self) -> float:
        """Amount of work done in one second."""
        return self.outcome.amount / self.outcome.seconds

    @property
    def cpu_seconds_each(self) -> float:
        """CPU time of the server for one unit of work. NaN if no work was done."""
        return self.cost.cpu_seconds / self.outcome.amount if self.outcome.amount else math.nan


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum of several numbers."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Return the spread of `numbers`. Raises ValueError for an empty sequence."""
        if not numbers:
            raise ValueError("no numbers")
        return cls(statistics.median(numbers), min(numbers), max(numbers))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the spread of `ours / theirs`, computed for each round.

    A disturbance of a whole round affects both sides of its ratio. A ratio is infinite if their number is 0.

    Raises:
        ValueError: If the two sides have different numbers of rounds.
    """
    pairs = zip(ours, theirs, strict=True)
    return Spread.of([our / their if their else math.inf for our, their in pairs])


def percentile(numbers: Sequence[float], percent: float) -> float:
    """Return the smallest of `numbers` that is at least as large as `percent` % of them.

    Raises:
        ValueError: If `numbers` is empty.
    """
    if not numbers:
        raise ValueError("no numbers")
    return sorted(numbers)[max(0, math.ceil(len(numbers) * percent / 100) - 1)]
