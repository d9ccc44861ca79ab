"""Metrics in memory that several processes share, so any process can report the sum.

The parent allocates the memory before the fork. Each process changes only its own cells, without locks, and a reader
adds up the cells of all processes. The replacement of a dead process continues with the cells of that process. So a
counter never decreases, and nothing counted by a dead process is lost.
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

_CELL_BYTES: Final = 8  # a C double
#: Cells of a process for series that come with a reload. Pages of memory that nobody has written take no room.
SPARE_CELLS: Final = 32 * 1024


class MetricKind(Enum):
    """Kind of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric: its name and every series the metric will ever have.

    Attributes:
        name: exposed name, with the unit. Names of counters end in ``_total``.
        help: one sentence that describes the metric.
        kind: kind of the metric.
        label_names: names of the labels.
        series: label values of each series, in the order of ``label_names``.
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
        """Cells of one series: 1, or for a histogram one per bound, one for the infinite bucket and one for the sum."""
        return len(self.bounds) + 2 if self.kind is MetricKind.HISTOGRAM else 1


class Counter:
    """A counter or gauge of one process."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: memoryview[float], at: int) -> None:
        self._cells = cells
        self._at = at

    @property
    def value(self) -> float:
        """Current value in this process."""
        value: float = self._cells[self._at]
        return value

    def add(self, amount: float = 1) -> None:
        """Add an amount."""
        self._cells[self._at] += amount

    def set(self, value: float) -> None:
        """Set the value."""
        self._cells[self._at] = value


class Histogram:
    """A histogram of one process."""

    __slots__ = ("_at", "_bounds", "_cells", "_sum_at")

    def __init__(self, cells: memoryview[float], at: int, bounds: tuple[float, ...]) -> None:
        self._cells = cells
        self._at = at
        self._bounds = bounds
        self._sum_at = at + len(bounds) + 1

    def observe(self, value: float) -> None:
        """Count a value in its bucket and add the value to the sum."""
        cells = self._cells
        cells[self._at + bisect_left(self._bounds, value)] += 1
        cells[self._sum_at] += value


class WorkerSlot:
    """Cells of one process. Created by :meth:`SharedMetrics.slot`."""

    def __init__(self, cells: memoryview[float], places: dict[tuple[str, Labels], int]) -> None:
        self._cells = cells
        self._places = places

    def counter(self, family: MetricFamily, *labels: str) -> Counter:
        """Return a series of a counter or gauge.

        Raises:
            KeyError: the family has no such series.
        """
        return Counter(self._cells, self._places[family.name, labels])

    def histogram(self, family: MetricFamily, *labels: str) -> Histogram:
        """Return a series of a histogram.

        Raises:
            KeyError: the family has no such series.
        """
        return Histogram(self._cells, self._places[family.name, labels], family.bounds)

    def follow(self, family: MetricFamily, read: Callable[[], float], *labels: str) -> Callable[[], None]:
        """Return a function that copies a number kept elsewhere in this process into a series. To be called regularly.

        A counter gets what the number has grown by since the last call. So the count of an earlier process in this slot
        stays, and several sources may count in one series. The number begins at 0.
        """
        counter = self.counter(family, *labels)
        if family.kind is MetricKind.GAUGE:
            return lambda: counter.set(read())
        copied = 0.0

        def update() -> None:
            nonlocal copied
            value = read()
            counter.add(value - copied)
            copied = value

        return update


class SharedMetrics:
    """Cells of all processes. Create before the first fork.

    Args:
        families: all metrics, with unique names.
        processes: largest number of processes at the same time.
        spare_cells: cells of a process for series that :meth:`extend` adds.
    """

    def __init__(self, families: Iterable[MetricFamily], processes: int = 1, spare_cells: int = SPARE_CELLS) -> None:
        self._families = tuple(families)
        self._places: dict[tuple[str, Labels], int] = {}
        self._gauges: list[int] = []
        self._used = 1  # the first cell of a process holds its process id
        for family in self._families:
            for labels in family.series:
                self._place(family, labels)
        self._row = self._used + spare_cells
        # An anonymous shared mapping outlives any single process and ends with the last one. Unlike the files of
        # prometheus_client's multi-process mode, nothing is left to clean up (ADR 8).
        self._cells = memoryview(mmap.mmap(-1, processes * self._row * _CELL_BYTES)).cast("d")

    def extend(self, families: Iterable[MetricFamily]) -> bool:
        """Give new series their cells. Known series keep theirs, with their counts.

        All processes must extend their metrics by the same families in the same order, so that they agree on the cells.

        Args:
            families: metrics, of which any series may be known.

        Returns:
            False if the spare cells are too few. Nothing is changed then.
        """
        new = [
            (family, labels)
            for family in families
            for labels in family.series
            if (family.name, labels) not in self._places
        ]
        if self._used + sum(family.cells for family, _ in new) > self._row:
            return False
        for family, labels in new:
            self._place(family, labels)
        return True

    def _place(self, family: MetricFamily, labels: Labels) -> None:
        self._places[family.name, labels] = self._used
        if family.kind is MetricKind.GAUGE:
            self._gauges.append(self._used)
        self._used += family.cells

    def slot(self, process: int = 0) -> WorkerSlot:
        """Take the cells of a slot for this process. Reset the gauges of an earlier process in the slot.

        Args:
            process: number of the slot, from 0.
        """
        cells = self._cells[process * self._row : (process + 1) * self._row]
        if cells[0] != os.getpid():
            cells[0] = os.getpid()
            # A gauge describes a process that is gone. Counters and histograms keep their values.
            for at in self._gauges:
                cells[at] = 0.0
        return WorkerSlot(cells, self._places)

    @property
    def processes(self) -> dict[int, int]:
        """Process ids by slot number, for the slots in use."""
        ids = (int(self._cells[at]) for at in range(0, len(self._cells), self._row))
        return {process: pid for process, pid in enumerate(ids) if pid}

    def sums(
        self, families: Iterable[MetricFamily] | None = None
    ) -> Iterator[tuple[MetricFamily, list[tuple[Labels, list[float]]]]]:
        """Yield each family with its series, whose cells are summed over all processes.

        Args:
            families: known families to yield; None for those of the constructor.
        """
        for family in self._families if families is None else families:
            yield family, [(labels, self._sum(family, labels)) for labels in family.series]

    def _sum(self, family: MetricFamily, labels: Labels) -> list[float]:
        at = self._places[family.name, labels]
        columns = range(at, at + family.cells)
        return [sum(self._cells[column :: self._row]) for column in columns]
