"""What everything that is done in one run about one repository works with, and how it is noted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError
from mirror.oci.names import Tag
from mirror.registry.journal import Change, Entry, Mirrored, Outcome, Run, Step, TagEvent
from mirror.sync.desk import Desk
from mirror.sync.look import Pair
from mirror.sync.result import TagResult
from mirror.transfer.progress import TagProgress


@dataclass(frozen=True, slots=True)
class Scene:
    """A repository in a run.

    Attributes:
        pair: the repository, there and here.
        run: the run.
        desk: what it works with.
        gate: lets so many tags of the run through at a time.
    """

    pair: Pair
    run: Run
    desk: Desk
    gate: asyncio.Semaphore

    def begin(self, tag: Tag) -> TagProgress:
        """Tell that work on a tag begins."""
        return self.desk.reporter.begin(f"{self.pair.here}:{tag}")

    def result(
        self,
        tag: Tag,
        outcome: Outcome,
        *,
        before: Digest | None = None,
        digest: Digest | None = None,
        original: Digest | None = None,
        moved_bytes: int = 0,
        change: Change | None = None,
        difference: tuple[str, ...] = (),
        reason: str = "",
        error: MirrorError | None = None,
    ) -> TagResult:
        """What became of a tag."""
        there, here = self.pair.there, self.pair.here
        return TagResult(
            there, here, tag, outcome, before, digest, original, moved_bytes, change, difference, reason, error
        )

    def event(
        self, tag: Tag, change: Change, before: Digest | None, after: Digest | None, difference: tuple[str, ...] = ()
    ) -> TagEvent:
        """Something that happened to a tag, now."""
        now = self.desk.clock.now()
        return TagEvent(self.pair.here, tag, now, change, before, after, self.pair.origin, difference)

    async def note(
        self, result: TagResult | None, mirrored: Mirrored | None = None, event: TagEvent | None = None
    ) -> None:
        """Note what became of a tag, all of it at once; unchanged tags have no entry."""
        entry = None if result is None or result.outcome is Outcome.UNCHANGED else entry_of(result)
        step = Step(entry, mirrored, event)
        if step != Step():
            await self.desk.journal.record(self.run, [step])

    async def fail(self, tag: Tag, error: MirrorError) -> TagResult:
        """Tell and note that nothing could be done about a tag."""
        result = self.result(tag, Outcome.FAILED, error=error)
        self.begin(tag).done(Outcome.FAILED, str(error))
        await self.note(result)
        return result


def entry_of(result: TagResult) -> Entry:
    """A result as the journal has it."""
    reason = str(result.error) if result.error else result.reason
    before, after = result.before, result.digest
    return Entry(result.repository, result.tag, result.outcome, before, after, result.moved_bytes, reason)
