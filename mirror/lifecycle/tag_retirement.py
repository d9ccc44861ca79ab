"""Retirement: drops the pushed tags that no retention keeps, repository by repository, beside a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from mirror.lifecycle.tag_retention import RetentionRule, RetentionView, TagRetention, surplus_tags
from mirror.oci import Repository
from mirror.records.lifecycle.pushed_tags import ImmutableTags, PushedTags, RetiredTag
from mirror.records.platform_rules import PlatformTags
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.threads import in_thread

#: Tags dropped in one transaction. Pushes wait for a step to end.
_TAGS_IN_A_STEP: Final = 100


@dataclass(frozen=True, slots=True)
class RetirementResult:
    """Result of a retirement.

    Attributes:
        retired: the tags that were dropped.
        waiting: patterns whose ``pulled_within`` cannot be judged yet, with the time from which on it can; None if
            pulls are not recorded.
    """

    retired: Sequence[RetiredTag] = ()
    waiting: Sequence[tuple[str, datetime | None]] = ()


@dataclass(frozen=True, slots=True)
class Retirement:
    """Drops pushed tags that no retention keeps.

    Attributes:
        tags: the pushed tags of the store.
        rules: retentions; the first whose pattern matches a repository applies. Other repositories keep all tags.
        platforms: platform rules. The tags of the platforms stay and go with the tag that engines ask for.
        immutable: the tags that are never dropped.
        younger_than: tags pushed within this time are never dropped.
        clock: the time of day.
        trusted: returns a time, or a later one if the clock was set since.
        pause_ratio: the pause after each repository, as a multiple of the time it took. 0: no pause.
    """

    tags: PushedTags
    rules: Sequence[RetentionRule]
    platforms: PlatformTags
    immutable: ImmutableTags
    younger_than: timedelta
    clock: Clock
    trusted: Callable[[datetime], datetime] = lambda moment: moment
    pause_ratio: float = 0

    def paced(self, trusted: Callable[[datetime], datetime], pause_ratio: float) -> Retirement:
        """Return the same retirement for a long-lived process, which pauses and watches the clock."""
        return replace(self, trusted=trusted, pause_ratio=pause_ratio)

    async def run(self) -> RetirementResult:
        """Drop the tags that need not be kept. If cancelled, what was dropped stays dropped.

        Raises:
            CatalogFault: the store failed. What was dropped stays dropped.
        """
        if not self.rules:
            return RetirementResult()
        known_since = await self.tags.pulls_known_since()
        retired: list[RetiredTag] = []
        for repository in await self.tags.repositories():
            rule = next((one for one in self.rules if one.pattern.match(repository) is not None), None)
            if rule is not None:
                began_seconds = self.clock.monotonic_seconds()
                retired += await self._retire(repository, rule.retention, known_since)
                await asyncio.sleep((self.clock.monotonic_seconds() - began_seconds) * self.pause_ratio)
        return RetirementResult(retired, self._waiting(known_since))

    async def _retire(
        self, repository: Repository, retention: TagRetention, known_since: datetime | None
    ) -> list[RetiredTag]:
        now = self.clock.now()
        view = RetentionView(
            now,
            self.younger_than,
            known_since,
            partial(self.immutable, repository),
            partial(self.platforms.group_of, repository),
            self.trusted,
        )
        if view.waits_for_pulls(retention):
            return []
        since = None if retention.pulled_within is None else now - retention.pulled_within
        found = await self.tags.tags_of(repository, since)
        # In a thread: sorting very many tags by version takes seconds.
        unwanted = await in_thread(surplus_tags, found, retention, view)
        retired: list[RetiredTag] = []
        for start in range(0, len(unwanted), _TAGS_IN_A_STEP):
            step = unwanted[start : start + _TAGS_IN_A_STEP]
            retired += await self.tags.retire([RetiredTag(repository, one, retention.reason) for one in step])
        return retired

    def _waiting(self, known_since: datetime | None) -> list[tuple[str, datetime | None]]:
        now, waiting = self.clock.now(), list[tuple[str, datetime | None]]()
        for rule in self.rules:
            within = rule.retention.pulled_within
            if within is not None and (known_since is None or known_since > now - within):
                waiting.append((rule.pattern.text, None if known_since is None else known_since + within))
        return waiting
