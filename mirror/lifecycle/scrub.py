"""Scrub: reads every byte of the store, at a rate, and goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from mirror.oci.errors import StorageDamaged
from mirror.records.lifecycle.damage import Damage, ExaminationResult, ScrubState, ScrubStates, StoredContent
from mirror.runtime.clock import Clock
from mirror.transfer.progress_reporting import Progress, SilentProgress

#: Content looked up at once. More would make requests beside the scrub wait for longer.
_IN_A_STEP: Final = 100
#: Longest time of reading that is lost with the process.
_KEPT_AFTER_SECONDS: Final = 5.0
#: Bytes for which a file counts at least, so that many small files keep to the rate too.
_LEAST_BYTES: Final = 128 * 1024
#: Size up to which files are read together, and their number. A hop into a thread for each would cost the most, and
#: more together would make requests wait for longer.
_SMALL_BYTES: Final = 64 * 1024
_IN_A_BATCH: Final = 15
#: Files found damaged one after the other, after which the scrub stops: the disk or its mount is the trouble.
_MOST_IN_A_ROW: Final = 20

_DAMAGED: Final = frozenset({ExaminationResult.DAMAGED, ExaminationResult.STILL_DAMAGED})


class Pacer:
    """Keeps reading to a rate.

    Args:
        bytes_per_second: the rate; None for no limit.
        most_of_time: largest part of the time that is spent on reading, above 0. On a busy machine or a slow disk this
            is less than the rate.
    """

    def __init__(self, bytes_per_second: int | None = None, *, most_of_time: float = 1.0) -> None:
        self._bytes_per_second = bytes_per_second
        self._pauses = 1 / most_of_time - 1
        self._free_at_seconds = 0.0
        self._went_on_at_seconds = 0.0

    async def read(self, size_bytes: int) -> None:
        """Wait as long as reading these bytes should take, less the time since the last wait."""
        if self._bytes_per_second is None:
            return
        loop = asyncio.get_running_loop()
        now_seconds = loop.time()
        self._free_at_seconds = max(self._free_at_seconds, now_seconds) + size_bytes / self._bytes_per_second
        busy_seconds = now_seconds - self._went_on_at_seconds if self._went_on_at_seconds else 0.0
        await asyncio.sleep(max(self._free_at_seconds - now_seconds, busy_seconds * self._pauses))
        self._went_on_at_seconds = loop.time()


class Scrubber:
    """Examines all content of a store, in the order of the digests.

    Args:
        damage: the bytes of the store.
        states: keeps the progress.
        clock: the time of day.
        name: name of the scrub, under which its progress is kept.
        pacer: keeps reading to a rate.
        progress: receives the bytes to read and the bytes read.
    """

    def __init__(
        self,
        damage: Damage,
        states: ScrubStates,
        clock: Clock,
        name: str,
        *,
        pacer: Pacer | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._damage = damage
        self._states = states
        self._clock = clock
        self._name = name
        self._pacer = pacer or Pacer()
        self._progress = progress or SilentProgress()
        self._kept_at_seconds = clock.monotonic_seconds()

    async def run(self, state: ScrubState) -> ScrubState:
        """Read everything after the position of a round, and return the finished round.

        Args:
            state: the result of :meth:`begin`.

        Raises:
            StorageDamaged: many files one after the other are damaged. The next run goes on there.
            StorageFault, CatalogFault: the store failed. The next run goes on.
        """
        self._progress.expect((await self._damage.left(state.position))[1])
        safe, in_a_row = state, 0
        while contents := await self._damage.stored(state.position, _IN_A_STEP):
            for together in _batches(contents):
                whole = await self._damage.find_whole(together) if together[0].size_bytes <= _SMALL_BYTES else ()
                least_bytes = 0
                for content in together:
                    if content.digest in whole:
                        result = ExaminationResult.WHOLE
                        least_bytes += max(_LEAST_BYTES, content.size_bytes)
                    else:
                        result = await self._damage.examine(content, self._pacer.read)
                        least_bytes += max(_LEAST_BYTES - content.size_bytes, 0)
                    self._progress.advance(content.size_bytes)
                    state = _after(state, content, result)
                    if result is ExaminationResult.DAMAGED:
                        in_a_row += 1
                    else:
                        safe, in_a_row = state, 0
                    if in_a_row == _MOST_IN_A_ROW:
                        await self._states.keep_scrub(self._name, safe)  # the same files are looked at again
                        raise StorageDamaged(
                            f"{in_a_row} files one after the other are damaged or missing, the last one is "
                            f"{content.digest}; fix: check the disk and its mount, then run 'plugin-mirror scrub' again"
                        )
                    await self._keep_now_and_then(state)
                await self._pacer.read(least_bytes)
        now = self._clock.now()
        state = replace(state, finished_at=now, last_finished_at=now)
        await self._states.keep_scrub(self._name, state)
        return state

    async def begin(self, goes_on_for: timedelta) -> ScrubState:
        """Return an interrupted round, or a new one.

        Args:
            goes_on_for: longest time since the start of a round after which it is continued. An older round is begun
                again, because what it read at first may have been damaged since.
        """
        now = self._clock.now()
        last = (await self._states.scrubs()).get(self._name)
        if last is None:
            return ScrubState(now)
        if last.finished_at is None and now - last.started_at <= goes_on_for:
            return last
        return ScrubState(
            now,
            total_bytes=last.total_bytes,
            total_damaged=last.total_damaged,
            last_finished_at=last.last_finished_at,
        )

    async def _keep_now_and_then(self, state: ScrubState) -> None:
        now_seconds = self._clock.monotonic_seconds()
        if now_seconds - self._kept_at_seconds >= _KEPT_AFTER_SECONDS:
            self._kept_at_seconds = now_seconds
            await self._states.keep_scrub(self._name, state)


def _batches(contents: Sequence[StoredContent]) -> Iterator[list[StoredContent]]:
    """Yield small content in batches that are read together, and other content alone, in the same order."""
    batch: list[StoredContent] = []
    for content in contents:
        is_small = content.size_bytes <= _SMALL_BYTES
        if batch and (not is_small or len(batch) == _IN_A_BATCH):
            yield batch
            batch = []
        batch.append(content)
        if not is_small:
            yield batch
            batch = []
    if batch:
        yield batch


def _after(state: ScrubState, content: StoredContent, result: ExaminationResult) -> ScrubState:
    """Return the progress after the examination of a piece of content."""
    damaged = int(result in _DAMAGED)
    return replace(
        state,
        position=str(content.digest),
        files=state.files + 1,
        read_bytes=state.read_bytes + content.size_bytes,
        damaged=state.damaged + damaged,
        corrected=state.corrected + int(result is ExaminationResult.CORRECTED),
        total_bytes=state.total_bytes + content.size_bytes,
        total_damaged=state.total_damaged + int(result is ExaminationResult.DAMAGED),
    )
