"""Waiting for a condition, with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_TIMEOUT_SECONDS = 30  # long enough for a loaded machine; a wait ends as soon as its condition is true


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as the condition is true. Raises TimeoutError."""
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)
