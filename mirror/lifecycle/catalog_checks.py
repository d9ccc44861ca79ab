"""Slow checks for content that no review is about: files without a row, and what a change has forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from mirror.records.lifecycle.long_work import LongWork, WorkState
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import Grace, ReviewKind, Reviews
from mirror.runtime.clock import Clock

_LOG = structlog.get_logger(__name__)

SWEEP: Final = "sweep of files"
COMPARISON: Final = "comparison"
#: Key of the number of rows that the last comparison found, in the state of :data:`COMPARISON`.
FORGOTTEN: Final = "forgotten"

_PREFIXES: Final = tuple(f"{number:02x}" for number in range(256))
#: One of 256 folders a minute, so that all files are looked at several times a day.
_SWEEP_PERIOD: Final = timedelta(minutes=1)
_COMPARISON_PERIOD: Final = timedelta(days=1)
#: Processes wake up a little early or late.
_SLACK: Final = timedelta(seconds=5)


class CatalogChecks:
    """Checks of files and of the catalog.

    Args:
        reviews: the reviews of the store.
        work: records of the last checks, shared by all processes.
        grace: age of a file without a row that counts.
        clock: the time of day.
    """

    def __init__(self, reviews: Reviews, work: LongWork, grace: Grace, clock: Clock) -> None:
        self._reviews = reviews
        self._work = work
        self._older_than = grace.of(ReviewCause.ORPHAN)
        self._clock = clock

    async def check_a_little(self) -> None:
        """Do what is due: the files of one folder each minute, and the comparison once a day.

        Raises:
            CatalogFault, StorageFault: the store failed.
        """
        swept = await self._work.find(SWEEP)
        if self._is_due(swept, _SWEEP_PERIOD):
            prefix = _after(swept.position)
            await self._sweep(prefix)
            await self._work.note(SWEEP, prefix, {}, finished=prefix == _PREFIXES[-1])
        if self._is_due(await self._work.find(COMPARISON), _COMPARISON_PERIOD):
            await self._compare()

    async def check_all(self) -> None:
        """Look at all files, and compare the whole catalog. Raises the errors of :meth:`check_a_little`."""
        for prefix in _PREFIXES:
            await self._sweep(prefix)
        await self._compare()

    def _is_due(self, known: WorkState, period: timedelta) -> bool:
        # A clock that was set back must not delay the next check.
        age = None if known.updated_at is None else self._clock.now() - known.updated_at
        return age is None or not -_SLACK <= age < period - _SLACK

    async def _sweep(self, prefix: str) -> None:
        found = await self._reviews.doom_orphans(self._older_than, prefix)
        if found:
            _LOG.info("files without a row found", files=found, prefix=prefix)

    async def _compare(self) -> None:
        first = (await self._work.find(COMPARISON)).finished_at is None
        found = await self._reviews.compare()
        number = sum(found.values())
        # A folder of an older version has content that nothing needs and that nobody has forgotten.
        if number and not first:
            _LOG.error("content without a review found", **_by_kind(found))
        await self._work.note(COMPARISON, "", {FORGOTTEN: 0 if first else number}, finished=True)


def _after(prefix: str) -> str:
    place = _PREFIXES.index(prefix) if prefix in _PREFIXES else -1
    return _PREFIXES[(place + 1) % len(_PREFIXES)]


def _by_kind(found: Mapping[ReviewKind, int]) -> dict[str, int]:
    return {f"{kind}s": number for kind, number in found.items()}
