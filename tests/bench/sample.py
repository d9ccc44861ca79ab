"""What a measurement came to, and medians and ratios of several. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a load came to, as its generator saw it.

    `amount` is how much was done, in the case's unit; `errors` counts answers that were none or the wrong ones.
    `figures` has what is to be seen of this case only, by what it is called.
    """

    amount: float
    seconds: float
    p50_seconds: float
    p99_seconds: float
    errors: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a server took while it was loaded.

    `rss_bytes` is the highest sum over its processes, `largest_rss_bytes` the highest of a single one. `cpu_seconds`
    is what they computed, `other_cpu_share` the part of the machine's CPU time that neither they nor we used.
    """

    cpu_seconds: float
    rss_bytes: int
    largest_rss_bytes: int
    other_cpu_share: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    outcome: Outcome
    cost: Cost

    @property
    def rate(self) -> float:
        """How much was done in a second."""
        return self.outcome.amount / self.outcome.seconds

    @property
    def cpu_seconds_each(self) -> float:
        """CPU time of the server for one of the case's unit."""
        return self.cost.cpu_seconds / self.outcome.amount if self.outcome.amount else math.nan


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several numbers, and their ends."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Raises `ValueError` where there is none."""
        if not numbers:
            raise ValueError("no numbers")
        return cls(statistics.median(numbers), min(numbers), max(numbers))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """`ours` over `theirs`, round by round: what disturbs a whole round disturbs both sides of its ratio.

    Raises `ValueError` where they have not as many rounds. Nothing at all on their side makes a ratio without limit.
    """
    pairs = zip(ours, theirs, strict=True)
    return Spread.of([our / their if their else math.inf for our, their in pairs])


def percentile(numbers: Sequence[float], percent: float) -> float:
    """The smallest of `numbers` that at least `percent` of 100 of them do not exceed. Raises `ValueError` for none."""
    if not numbers:
        raise ValueError("no numbers")
    return sorted(numbers)[max(0, math.ceil(len(numbers) * percent / 100) - 1)]
