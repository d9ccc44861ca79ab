"""What a process notes in memory and has recorded once a minute, so that no request waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from mirror.oci.errors import MirrorError

_LOG = structlog.get_logger(__name__)

PERIOD_SECONDS: Final = 60.0


async def flush_periodically(flush: Callable[[], Awaitable[None]], what: str) -> None:
    """Flush every minute, until cancelled, and then once more.

    Args:
        flush: has what was noted recorded. What it raises of the tree is logged, and it is called again later.
        what: what is recorded, for the log, such as ``times of pulls``.
    """
    try:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await _flush_or_tell(flush, what)
    finally:
        await _flush_or_tell(flush, what)


async def _flush_or_tell(flush: Callable[[], Awaitable[None]], what: str) -> None:
    try:
        await flush()
    except MirrorError as error:
        _LOG.error(f"{what} could not be recorded", error=str(error), **error.detail)
