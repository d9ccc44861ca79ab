"""Metrics of the collection. All processes share the store, so that each of them can show the values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from prometheus_client.metrics_core import Metric

from mirror.app.storage.retiring import retired_tags
from mirror.lifecycle.catalog_checks import COMPARISON, FORGOTTEN
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import FreedBytes, Grace, WaitingContent
from mirror.runtime.metrics.metrics_exposition import metric
from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind
from mirror.store.records.sql_records import SqlRecords

#: Counting reads whole indexes of the catalog, and anybody may request the page.
_FRESH_SECONDS: Final = 10.0


def _family(name: str, explanation: str, kind: MetricKind, *labels: str) -> MetricFamily:
    return MetricFamily(f"plugin_mirror_{name}", explanation, kind, labels)


_BY_CAUSE: Final = _family(
    "reviews",
    "Content that may have lost its last user and waits for a decision, by the event that the review is about.",
    MetricKind.GAUGE,
    "cause",
)
_READ: Final[tuple[tuple[MetricFamily, Callable[[WaitingContent], float]], ...]] = (
    (
        _family("reviews_due", "Reviews whose grace is over.", MetricKind.GAUGE),
        lambda found: found.due,
    ),
    (
        _family("reviews_overdue", "Reviews that have been due for a day or more.", MetricKind.GAUGE),
        lambda found: found.overdue,
    ),
    (
        _family(
            "reviews_often_tried",
            "Reviews that have found work under way or an open upload more than ten times.",
            MetricKind.GAUGE,
        ),
        lambda found: found.often_tried,
    ),
    (
        _family("doomed_files", "Files that nothing needs and that are removed after their grace.", MetricKind.GAUGE),
        lambda found: found.doomed.files,
    ),
    (
        _family("doomed_bytes", "Bytes of the files that are removed after their grace.", MetricKind.GAUGE),
        lambda found: found.doomed.size_bytes,
    ),
)
_FREED: Final[tuple[tuple[MetricFamily, Callable[[FreedBytes], float]], ...]] = (
    (
        _family(
            "freed_files_total",
            "Files removed by the collection since the data folder exists, by the event that made them useless.",
            MetricKind.COUNTER,
            "cause",
        ),
        lambda freed: freed.files,
    ),
    (
        _family(
            "freed_bytes_total",
            "Bytes removed by the collection since the data folder exists, by the event that made them useless.",
            MetricKind.COUNTER,
            "cause",
        ),
        lambda freed: freed.size_bytes,
    ),
)
_FORGOTTEN: Final = _family(
    "forgotten_content",
    "Rows without a user that the last comparison of the catalog found and no review was about. Should be 0.",
    MetricKind.GAUGE,
)
_RETIRED: Final = _family("retired_tags_total", "Pushed tags that retention has dropped.", MetricKind.COUNTER)

FAMILIES: Final = (_BY_CAUSE, *(family for family, _ in (*_READ, *_FREED)), _FORGOTTEN, _RETIRED)


class CollectionMetrics:
    """Reads the metrics of the collection, at most every ten seconds.

    Args:
        records: records of the store.
        grace: the configured times, which say what is due.
    """

    def __init__(self, records: SqlRecords, grace: Grace) -> None:
        self._records = records
        self._grace = grace
        self._reading = asyncio.Lock()
        self._read_at_seconds = -_FRESH_SECONDS
        self._found: list[Metric] = []

    async def read(self) -> list[Metric]:
        """Return the metrics. Raises StorageFault."""
        async with self._reading:
            if time.monotonic() - self._read_at_seconds >= _FRESH_SECONDS:
                self._found = await self._read()
                self._read_at_seconds = time.monotonic()
            return self._found

    async def _read(self) -> list[Metric]:
        waiting = await self._records.reviews.waiting(self._grace)
        compared = await self._records.long_work.find(COMPARISON)
        causes = [((cause.value,), [float(waiting.reviews.get(cause, 0))]) for cause in ReviewCause]
        return [
            metric(_BY_CAUSE, causes),
            *(metric(family, [((), [read(waiting)])]) for family, read in _READ),
            *(
                metric(
                    family,
                    [((cause.value,), [read(waiting.freed.get(cause, FreedBytes()))]) for cause in ReviewCause],
                )
                for family, read in _FREED
            ),
            metric(_FORGOTTEN, [((), [float(compared.state.get(FORGOTTEN, 0))])]),
            metric(_RETIRED, [((), [float(await retired_tags(self._records.long_work))])]),
        ]
