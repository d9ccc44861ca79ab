"""Collection: decides due reviews and removes bytes, in short steps beside a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Final, Protocol

from mirror.lifecycle.tag_retirement import RetirementResult
from mirror.records.lifecycle.reviews import CollectionRules, DecidedReviews, FreedBytes, Grace, Reviews
from mirror.runtime.clock import Clock

#: Reviews decided in one transaction, or files removed in one. Pushes wait for a step to end.
_IN_A_STEP: Final = 100


class CollectionProgress(Protocol):
    """Receives the progress of a collection."""

    def decided(self, result: DecidedReviews) -> None:
        """Receive the result of one step of decisions."""
        ...

    def freed(self, result: FreedBytes) -> None:
        """Receive the result of one step of removals."""
        ...


class SilentCollection:
    """Progress that nobody watches."""

    def decided(self, _result: DecidedReviews) -> None:
        """Do nothing."""

    def freed(self, _result: FreedBytes) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """Result of a collection.

    Attributes:
        decided: the decisions.
        freed: the files removed.
        retirement: the tags dropped before the decisions.
    """

    decided: DecidedReviews = field(default_factory=DecidedReviews)
    freed: FreedBytes = field(default_factory=FreedBytes)
    retirement: RetirementResult = field(default_factory=RetirementResult)


class Collector:
    """Collects what nothing needs any more.

    Args:
        reviews: the reviews of the store.
        rules: grace, and rules for untagged manifests.
        uploading: returns the names of the repositories with an open upload.
        clock: the time of day.
        in_a_step: number of reviews that one transaction decides, or of files that it removes.
        pause_ratio: the pause after each step, as a multiple of the time of the step. 0: no pause.
        progress: receives the progress.
        dry_run: True to remove no file. The catalog is then a copy.
    """

    def __init__(
        self,
        reviews: Reviews,
        rules: CollectionRules,
        uploading: Callable[[], Awaitable[Collection[str]]],
        clock: Clock,
        *,
        in_a_step: int = _IN_A_STEP,
        pause_ratio: float = 0,
        progress: CollectionProgress | None = None,
        dry_run: bool = False,
    ) -> None:
        self._reviews = reviews
        self._rules = rules
        self._uploading = uploading
        self._clock = clock
        self._in_a_step = in_a_step
        self._pause_ratio = pause_ratio
        self._progress = progress or SilentCollection()
        self._dry_run = dry_run

    async def collect(self) -> CollectionResult:
        """Decide what is due, and remove the bytes whose grace is over.

        Raises:
            CatalogFault, StorageFault: the store failed. What was decided stays decided.
        """
        return await self._run(self._rules)

    async def collect_now(self) -> CollectionResult:
        """Decide every review once, whatever its grace, and remove all bytes that are no longer needed.

        Raises:
            CatalogFault, StorageFault: the store failed. What was decided stays decided.
        """
        return await self._run(replace(self._rules, grace=Grace.everywhere(timedelta(0)), all_since=self._clock.now()))

    async def _run(self, rules: CollectionRules) -> CollectionResult:
        result = CollectionResult(await self._decide(rules), FreedBytes())
        return replace(result, freed=await self._remove(rules.grace.bytes))

    async def _decide(self, rules: CollectionRules) -> DecidedReviews:
        total = DecidedReviews()
        while True:
            # Asked again for each step: uploads begin all the time.
            current = replace(rules, uploading=await self._uploading())
            began_seconds = monotonic()
            step = await self._reviews.decide(current, self._in_a_step)
            if not step.decided:
                return total
            total += step
            self._progress.decided(step)
            await self._pause(monotonic() - began_seconds)

    async def _remove(self, grace: timedelta) -> FreedBytes:
        if self._dry_run:
            return await self._reviews.removable(grace)
        total = FreedBytes()
        while True:
            began_seconds = monotonic()
            step = await self._reviews.remove_bytes(grace, self._in_a_step)
            if not step.files:
                return total
            total += step
            self._progress.freed(step)
            await self._pause(monotonic() - began_seconds)

    async def _pause(self, worked_seconds: float) -> None:
        await asyncio.sleep(worked_seconds * self._pause_ratio)
