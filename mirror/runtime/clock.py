"""Clocks as an injected dependency, so tests can control the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, Protocol

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Source of the current time."""

    def now(self) -> datetime:
        """Return the current time of day in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return the seconds since a fixed moment. The value never decreases."""
        ...


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        return time.monotonic()


@cache
def boot_id() -> bytes:
    """Return the identifier of the machine's boot, 36 bytes. All processes share the monotonic clock of one boot.

    Raises:
        OSError: ``/proc`` is not mounted.
    """
    return _BOOT_ID.read_bytes().strip()
