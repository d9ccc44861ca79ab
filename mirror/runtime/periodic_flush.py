"""Periodic flushing of records that a process collects in memory, so no request waits for a write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from mirror.oci.errors import MirrorError

_LOG = structlog.get_logger(__name__)

PERIOD_SECONDS: Final = 60.0


async def flush_periodically(flush: Callable[[], Awaitable[None]], what: str) -> None:
    """Flush every minute until cancelled, and once more on cancellation.

    Args:
        flush: writes the collected records. A MirrorError is logged, and the next period flushes again.
        what: kind of the records, for the log, such as ``times of pulls``.
    """
    try:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await _flush_or_tell(flush, what)
    finally:  # records of the last minute would be lost otherwise
        await _flush_or_tell(flush, what)


async def _flush_or_tell(flush: Callable[[], Awaitable[None]], what: str) -> None:
    try:
        await flush()
    except MirrorError as error:
        _LOG.error("record not written", kind=what, error=str(error), **error.detail)
