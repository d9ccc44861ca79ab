"""Retention of pushed tags, for the server's background work and for commands."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from mirror.lifecycle.tag_retirement import Retirement, RetirementResult
from mirror.oci.errors import Busy, MirrorError
from mirror.records.lifecycle.long_work import LongWork
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.records.lifecycle.reviews import Grace
from mirror.records.platform_rules import PlatformTags
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.clock_jumps import ClockJumps
from mirror.settings import Settings
from mirror.settings.storage.repository_settings import immutable_tags, retention_rules
from mirror.store.registry import Store
from mirror.store.work_locks import StorageLocks

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_PERIOD: Final = timedelta(days=1)
_LOOK_SECONDS: Final = 600.0
#: The background run works a fifth of the time.
_BACKGROUND_PAUSES: Final = 4.0
_WORK: Final = "retention"
_GONE_PULLS: Final = "pulls of what is gone"
#: Name of the number of dropped tags in the state of the work.
_DROPPED: Final = "dropped"
#: Name of the lock, as part of an error message.
RETENTION: Final = "retention"


def retirement(settings: Settings, store: Store, grace: Grace, clock: Clock = _CLOCK) -> Retirement:
    """Return the configured retirement of pushed tags."""
    return Retirement(
        store.records.pushed_tags,
        retention_rules(settings.repositories),
        PlatformTags([section.rule() for section in settings.platform_tags]),
        immutable_tags(settings.repositories),
        grace.of(ReviewCause.RETIRED),
        clock,
    )


async def retire_in_background(settings: Settings, store: Store, grace: Grace) -> None:
    """Drop tags, and the pulls of what is gone, once a day until cancelled. One process at a time works.

    With ``storage.collection.enabled: false`` no tags are dropped here; ``gc`` drops them.
    """
    locks, tags = StorageLocks(settings.storage.path), store.records.pushed_tags
    work, jumps = store.records.long_work, ClockJumps(_CLOCK)
    retiring = retirement(settings, store, grace).paced(jumps.trusted, _BACKGROUND_PAUSES)
    drops = settings.storage.collection.enabled and bool(retiring.rules)
    while True:
        try:
            await tags.note_recording()
            async with locks(RETENTION):
                if drops and await _is_due(work, _WORK):
                    await retire(store, retiring)
                if await _is_due(work, _GONE_PULLS):
                    await store.records.pulls.forget_gone()
                    await work.note(_GONE_PULLS, "", {}, finished=True)
        except Busy:
            pass  # another process does it
        except MirrorError as error:
            # The next round tries again. A failed round must not end retention for good.
            _LOG.error("retention of tags failed", error=str(error), **error.detail)
        await asyncio.sleep(_LOOK_SECONDS)


async def _is_due(work: LongWork, name: str) -> bool:
    last = (await work.find(name)).finished_at
    # A clock that was set back must not stop the work until it has caught up.
    return last is None or not timedelta(0) <= _CLOCK.now() - last < _PERIOD


async def retire(store: Store, retiring: Retirement) -> RetirementResult:
    """Drop tags, count them, and log each: nobody asked for it, so somebody will ask where it went."""
    result = await retiring.run()
    dropped = await retired_tags(store.records.long_work) + len(result.retired)
    await store.records.long_work.note(_WORK, "", {_DROPPED: dropped}, finished=True)
    for one in result.retired:
        _LOG.info(
            "tag dropped by retention",
            name=str(one.repository),
            tag=str(one.tag.tag),
            digest=str(one.tag.digest),
            reason=one.reason,
        )
    return result


async def retired_tags(work: LongWork) -> int:
    """Return the number of tags that retention has dropped since the data folder exists."""
    return int((await work.find(_WORK)).state.get(_DROPPED, 0))
