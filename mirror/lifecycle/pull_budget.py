"""Budget of pull-through: evicts what was pulled least recently, by the configured limits and on a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import structlog

from mirror.lifecycle.eviction import Eviction, KeepLimits, choose_room, choose_surplus, measured
from mirror.oci import Repository
from mirror.oci.errors import Busy
from mirror.records.lifecycle.pulled_content import PulledArtifact, PulledContent, PulledContents, Refetchable
from mirror.runtime.clock import Clock
from mirror.runtime.clock_jumps import ClockJumps
from mirror.runtime.concurrency.threads import in_thread

_LOG = structlog.get_logger(__name__)
#: Artifacts evicted in one transaction. Pushes wait for a step to end.
_ARTIFACTS_IN_A_STEP: Final = 20
#: Time between two counts of the content, unless more than the budget may have come.
_COUNT_EVERY: Final = timedelta(hours=6)
#: The same while the content exceeds the budget and nothing more can be evicted.
_COUNT_AGAIN: Final = timedelta(minutes=10)
#: Time for which a full disk is left alone after nothing could be freed.
_GIVE_UP_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class StorageRoom:
    """Functions about the disk, which the store and the collection provide.

    Attributes:
        missing_bytes: returns the number of bytes to free before content of a size fits; for None, before a margin is
            free.
        clear: collects what was evicted and removes the bytes that nothing needs, without any grace.
        downloading: returns the digests of the blobs that are being downloaded.
        turn: returns a context that one process at a time can enter; others raise Busy.
    """

    missing_bytes: Callable[[int | None], Awaitable[int]]
    clear: Callable[[], Awaitable[object]]
    downloading: Callable[[], Awaitable[Collection[str]]]
    turn: Callable[[], AbstractAsyncContextManager[None]]


async def _always(_artifact: PulledArtifact) -> bool:
    return True


class PullBudget:
    """The budget of a process. All processes on a data folder take turns.

    Args:
        contents: the content that was pulled through.
        keep: limits of the content.
        refetchable: returns the upstreams from which a repository can be pulled again.
        room: functions about the disk.
        clock: source of the current time.
        when_full: False to refuse new content on a full disk, instead of evicting.
        answers: returns False if no upstream of an artifact answers at the moment.
    """

    def __init__(
        self,
        contents: PulledContents,
        keep: KeepLimits,
        refetchable: Refetchable,
        room: StorageRoom,
        clock: Clock,
        *,
        when_full: bool = True,
        answers: Callable[[PulledArtifact], Awaitable[bool]] = _always,
    ) -> None:
        self._contents = contents
        self._keep = keep
        self._refetchable = refetchable
        self._room = room
        self._clock = clock
        self._jumps = ClockJumps(clock)
        self._when_full = when_full
        self._answers = answers
        self._making_room = asyncio.Lock()
        #: A number of bytes that could not be freed, and the monotonic time until which this is believed.
        self._impossible: tuple[int, float] | None = None

    async def keep_within(self) -> None:
        """Evict what goes beyond the limits. Does nothing while another process evicts.

        Raises:
            CatalogFault, StorageFault: the store failed. What was evicted stays evicted.
        """
        try:
            async with self._room.turn():
                if await self._is_due():
                    await self._shrink()
        except Busy:
            return

    async def relieve(self) -> None:
        """Evict on a disk that is nearly full, before new content is refused.

        Raises:
            CatalogFault, StorageFault: the store failed.
        """
        if not self._when_full or self._is_hopeless(1) or not await self._room.missing_bytes(None):
            return
        try:
            async with self._room.turn():
                await self._free(None)
        except Busy:
            return

    async def make_room(self, size_bytes: int) -> bool:
        """Evict until content of a size fits on the disk. Nothing is evicted if it cannot be made to fit.

        Returns:
            True if the content fits now.

        Raises:
            CatalogFault, StorageFault: the store failed.
        """
        if not self._when_full:
            return False
        if not await self._room.missing_bytes(size_bytes):
            return True
        async with self._making_room:
            while not self._is_hopeless(size_bytes):
                try:
                    async with self._room.turn():
                        return await self._free(size_bytes)
                except Busy:
                    await asyncio.sleep(_POLL_SECONDS)  # another process makes room
        return False

    async def _is_due(self) -> bool:
        record, now = await self._contents.record(), self._clock.now()
        limit = self._keep.size_bytes
        # A clock that was set back must not delay the count.
        if record.counted_at is None or not timedelta(0) <= now - record.counted_at < _COUNT_EVERY:
            return True
        if limit is None or (record.used_bytes > limit and now - record.counted_at < _COUNT_AGAIN):
            return False
        # An upper bound, which costs one statement: whatever has come since may have been pulled through.
        return record.used_bytes + await self._contents.added_bytes(record.counted_at) > limit

    async def _shrink(self) -> None:
        counted_at = self._clock.now()
        content = await self._count()
        surplus = await in_thread(choose_surplus, content, self._keep, counted_at, self._jumps.trusted)
        if surplus.artifacts:
            content = await self._with_silence(content, surplus)
            surplus = await in_thread(choose_surplus, content, self._keep, counted_at, self._jumps.trusted)
        eviction = await self._evict(content, surplus)
        tags = sum(len(artifact.tags) for artifact in content.artifacts) - eviction.tags
        await self._note(eviction, counted_at=counted_at, used_bytes=eviction.left_bytes, tags=tags)
        limit = self._keep.size_bytes
        if limit is not None and eviction.left_bytes > limit:
            _LOG.warning("pull-through exceeds its budget", used_bytes=eviction.left_bytes, budget_bytes=limit)

    async def _with_silence(self, content: PulledContent, surplus: Eviction) -> PulledContent:
        """Return the content. What nobody can pull again at the moment is not confirmed."""
        answers: dict[frozenset[str], bool] = {}
        for artifact in surplus.artifacts:
            upstreams = self._upstreams(artifact)
            if upstreams not in answers:  # one question for all artifacts of the same upstreams
                answers[upstreams] = await self._answers(artifact)
        if all(answers.values()):
            return content
        silent = sorted({name for upstreams, answered in answers.items() if not answered for name in upstreams})
        _LOG.warning("upstreams do not answer, what is old stays", upstreams=silent)
        return replace(
            content,
            artifacts=[
                one if answers.get(self._upstreams(one), True) else replace(one, is_confirmed=False)
                for one in content.artifacts
            ],
        )

    def _upstreams(self, artifact: PulledArtifact) -> frozenset[str]:
        return frozenset(self._refetchable(Repository(artifact.repository)))

    async def _free(self, size_bytes: int | None) -> bool:
        """Free space for content of a size. For None, free as much of the margin as possible."""
        room = self._room
        if not await room.missing_bytes(size_bytes):
            return True
        await room.clear()  # what was evicted before may be enough
        missing_bytes = await room.missing_bytes(size_bytes)
        if not missing_bytes:
            return True
        content = await self._count()
        eviction = await in_thread(choose_room, content, missing_bytes, self._clock.now())
        if not eviction.artifacts or (size_bytes is not None and eviction.freed_bytes < missing_bytes):
            return self._give_up(missing_bytes, eviction, size_bytes)
        eviction = await self._evict(content, eviction)
        await room.clear()
        emergencies = (await self._contents.record()).emergencies + 1
        await self._note(eviction, emergencies=emergencies, last_emergency_at=self._clock.now())
        _LOG.warning(
            "disk full, content evicted",
            tags=eviction.tags,
            missing_bytes=missing_bytes,
            evicted_bytes=eviction.freed_bytes,
        )
        left_bytes = await room.missing_bytes(size_bytes)
        if left_bytes >= missing_bytes:  # a backup may need the bytes, or a client that reads them
            return self._give_up(left_bytes, eviction, size_bytes)
        return not left_bytes

    def _give_up(self, missing_bytes: int, eviction: Eviction, size_bytes: int | None) -> bool:
        self._impossible = size_bytes or 0, self._clock.monotonic_seconds() + _GIVE_UP_SECONDS
        _LOG.warning("disk full, nothing to evict", missing_bytes=missing_bytes, evictable_bytes=eviction.freed_bytes)
        return False

    def _is_hopeless(self, size_bytes: int) -> bool:
        if self._impossible is None:
            return False
        refused_bytes, until_seconds = self._impossible
        return size_bytes >= refused_bytes and self._clock.monotonic_seconds() < until_seconds

    async def _count(self) -> PulledContent:
        return await self._contents.count(self._refetchable, await self._room.downloading())

    async def _evict(self, content: PulledContent, chosen: Eviction) -> Eviction:
        """Evict, and return what was evicted: artifacts that are needed by now stay."""
        evicted: list[PulledArtifact] = []
        for start in range(0, len(chosen.artifacts), _ARTIFACTS_IN_A_STEP):
            step = await self._contents.evict(chosen.artifacts[start : start + _ARTIFACTS_IN_A_STEP])
            for artifact in step:
                _LOG.info(
                    "evicted",
                    name=artifact.repository,
                    tags=list(artifact.tags),
                    digests=list(artifact.digests),
                    used_at=artifact.used_at.isoformat(),
                )
            evicted += step
        return await in_thread(measured, content, evicted)

    async def _note(self, eviction: Eviction, **figures: Any) -> None:
        record = await self._contents.record()
        counted = replace(
            record,
            evicted_tags=record.evicted_tags + eviction.tags,
            evicted_bytes=record.evicted_bytes + eviction.freed_bytes,
        )
        await self._contents.save(replace(counted, **figures))
