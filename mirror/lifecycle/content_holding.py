"""Content that work under way holds: the collection leaves it alone until the work ends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from mirror.oci.errors import MirrorError
from mirror.records.lifecycle.content_holders import ContentHolder, ContentHolders, HeldPart, HolderPurpose
from mirror.runtime.concurrency.background_tasks import BackgroundTasks

_LOG = structlog.get_logger(__name__)

#: Time for which the content of a killed process stays held.
LEASE: Final = timedelta(minutes=10)
#: Time for which the content of work that goes on later stays held, such as an import with the next drive.
LONG_LEASE: Final = timedelta(days=7)
_PERIOD_SECONDS: Final = 120.0


@asynccontextmanager
async def holding(
    holders: ContentHolders,
    purpose: HolderPurpose,
    detail: str,
    content: Collection[HeldPart],
    *,
    goes_on: bool = False,
    period_seconds: float = _PERIOD_SECONDS,
) -> AsyncIterator[None]:
    """Hold content during the block.

    Args:
        holders: holders of the store.
        purpose: kind of the work.
        detail: description of the work for operators.
        content: pairs of repository and digest. None stands for all repositories, or all content of the repository.
        goes_on: True for work that a later call with the same purpose and detail goes on with. Its content stays held
            for a week, unless the block ends without an error.
        period_seconds: time between two extensions of the lease.

    Raises:
        StorageFault: the holder could not be recorded.
    """
    work = uuid.uuid5(uuid.NAMESPACE_OID, f"{purpose} {detail}") if goes_on else uuid.uuid4()
    holder = ContentHolder(str(work), purpose, detail, content)
    lease = LONG_LEASE if goes_on else LEASE
    await holders.hold(holder, lease)
    ended = False
    try:
        async with BackgroundTasks() as tasks:
            tasks.create_task(_extend(holders, holder, lease, period_seconds))
            yield
        ended = True
    finally:
        if ended or not goes_on:
            await _release(holders, holder)


async def _extend(holders: ContentHolders, holder: ContentHolder, lease: timedelta, period_seconds: float) -> None:
    while True:
        await asyncio.sleep(period_seconds)
        try:
            await holders.extend(holder, lease)
        except MirrorError as error:  # the next period tries again, long before the lease ends
            _LOG.warning("lease of held content not extended", purpose=holder.purpose, error=str(error), **error.detail)


async def _release(holders: ContentHolders, holder: ContentHolder) -> None:
    try:
        await holders.release(holder)
    except MirrorError as error:  # the work itself has ended well or badly by then; the lease ends by itself
        _LOG.warning("held content not released", purpose=holder.purpose, error=str(error), **error.detail)
