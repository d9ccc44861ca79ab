"""Numbers of several processes in memory that they share, so that whichever process is asked can tell the sum.

The parent makes the memory before it forks. Each process changes cells of its own, without locks, and a reader adds up
the cells of all. A process in the place of one that died goes on with the cells of that one: counters never go back,
and what the dead one has counted stays counted.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

Labels = tuple[str, ...]

_CELL_BYTES: Final = 8


class MetricKind(Enum):
    """What a number means."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric: its name and every series it will ever have.

    Attributes:
        name: as it is exposed, with its unit; a counter's ends in ``_total``.
        help: what it says, in one sentence.
        kind: what its numbers mean.
        label_names: by what its series differ.
        series: the label values of each series, in the order of ``label_names``.
        bounds: upper bounds of a histogram's buckets, ascending, without infinity.
    """

    name: str
    help: str
    kind: MetricKind
    label_names: Labels = ()
    series: Sequence[Labels] = ((),)
    bounds: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """Cells of one series: a number, or a histogram's buckets, the one without bound, and the sum."""
        return len(self.bounds) + 2 if self.kind is MetricKind.HISTOGRAM else 1


class Counter:
    """A counter or gauge of this process."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: memoryview[float], at: int) -> None:
        self._cells = cells
        self._at = at

    @property
    def value(self) -> float:
        """What it is now, in this process."""
        value: float = self._cells[self._at]
        return value

    def add(self, amount: float = 1) -> None:
        """Make it so much more."""
        self._cells[self._at] += amount

    def set(self, value: float) -> None:
        """Make it that."""
        self._cells[self._at] = value


class Histogram:
    """A histogram of this process."""

    __slots__ = ("_at", "_bounds", "_cells", "_sum_at")

    def __init__(self, cells: memoryview[float], at: int, bounds: tuple[float, ...]) -> None:
        self._cells = cells
        self._at = at
        self._bounds = bounds
        self._sum_at = at + len(bounds) + 1

    def observe(self, value: float) -> None:
        """Count a value."""
        cells = self._cells
        cells[self._at + bisect_left(self._bounds, value)] += 1
        cells[self._sum_at] += value


class WorkerSlot:
    """The cells of one process. Made by :meth:`SharedMetrics.slot`."""

    def __init__(self, cells: memoryview[float], places: dict[tuple[str, Labels], int]) -> None:
        self._cells = cells
        self._places = places

    def counter(self, family: MetricFamily, *labels: str) -> Counter:
        """A series of a counter or gauge. Raises KeyError: the family has no such series."""
        return Counter(self._cells, self._places[family.name, labels])

    def histogram(self, family: MetricFamily, *labels: str) -> Histogram:
        """A series of a histogram. Raises KeyError as :meth:`counter`."""
        return Histogram(self._cells, self._places[family.name, labels], family.bounds)

    def follow(self, family: MetricFamily, read: Callable[[], float], *labels: str) -> Callable[[], None]:
        """What to call, again and again, to have a series follow a number that is kept elsewhere in this process.

        A counter goes on from what an earlier process in this place has left.
        """
        counter = self.counter(family, *labels)
        before = counter.value if family.kind is MetricKind.COUNTER else 0.0
        return lambda: counter.set(before + read())


class SharedMetrics:
    """The cells of all processes. Made before any of them is forked.

    Args:
        families: every metric, each by its name once.
        processes: how many there will be at a time.
    """

    def __init__(self, families: Iterable[MetricFamily], processes: int = 1) -> None:
        self._families = tuple(families)
        self._places: dict[tuple[str, Labels], int] = {}
        self._row = 1  # the first cell of a process holds its id
        for family in self._families:
            for labels in family.series:
                self._places[family.name, labels] = self._row
                self._row += family.cells
        # Anonymous and shared: it outlives whoever dies, and is gone with the last process.
        self._cells = memoryview(mmap.mmap(-1, processes * self._row * _CELL_BYTES)).cast("d")

    def slot(self, process: int = 0) -> WorkerSlot:
        """Take the cells of a process's place; gauges of an earlier one there end.

        Args:
            process: the place, from 0.
        """
        cells = self._cells[process * self._row : (process + 1) * self._row]
        cells[0] = os.getpid()
        for family in self._families:
            if family.kind is MetricKind.GAUGE:
                for labels in family.series:
                    cells[self._places[family.name, labels]] = 0.0
        return WorkerSlot(cells, self._places)

    @property
    def processes(self) -> dict[int, int]:
        """Process ids by place, of the places that have been taken."""
        ids = (int(self._cells[at]) for at in range(0, len(self._cells), self._row))
        return {process: pid for process, pid in enumerate(ids) if pid}

    def sums(self) -> Iterator[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
        """Each family, with the cells of each of its series added up over all processes."""
        for family in self._families:
            yield family, [(labels, self._sum(family, labels)) for labels in family.series]

    def _sum(self, family: MetricFamily, labels: Labels) -> list[float]:
        at = self._places[family.name, labels]
        columns = range(at, at + family.cells)
        return [sum(self._cells[column :: self._row]) for column in columns]
