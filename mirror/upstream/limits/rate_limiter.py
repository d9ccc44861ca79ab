"""A rate limiter for requests and for bytes.

The whole state is one number: the moment at which everything admitted so far is paid for. The moment may lie slightly
in the past, which allows a burst. If the moment lies in the future, the caller waits until then.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import Clock, boot_id
from mirror.runtime.error_advice import file_words
from mirror.runtime.files import private_files

# The monotonic clock restarts at boot, so a moment stored before the last boot is meaningless (ADR 7).
_RECORD = struct.Struct("<36sd")


class RateAccount(Protocol):
    """Storage of the moment at which everything is paid for."""

    def charge(self, now: float, cost_seconds: float, burst_seconds: float) -> float:
        """Add a cost and return the new moment."""
        ...


def charged(paid_at: float, now: float, cost_seconds: float, burst_seconds: float) -> float:
    """Return the moment at which everything is paid for after one more cost.

    Args:
        paid_at: the moment so far.
        now: current time, in seconds of the same clock as ``paid_at``.
        cost_seconds: time that the cost takes to pay.
        burst_seconds: longest unused time that is credited to the next caller.
    """
    return max(paid_at, now - burst_seconds) + cost_seconds


class ProcessRateAccount:
    """An account of one process."""

    def __init__(self) -> None:
        self._paid_at = float("-inf")

    def charge(self, now: float, cost_seconds: float, burst_seconds: float) -> float:
        self._paid_at = charged(self._paid_at, now, cost_seconds, burst_seconds)
        return self._paid_at


class SharedRateAccount:
    """An account of all processes that use the same file: the workers of a server and commands beside the server.

    The file is locked for a few microseconds per charge. The file also contains the boot id of the machine, because the
    monotonic clock restarts with each boot.

    Args:
        path: the file. The file and its folder are created if missing.

    Raises:
        ConfigurationFault: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            private_files.make_folder(path.parent)
            self._file = private_files.open_file(path, os.O_RDWR | os.O_CREAT)
            self._boot = boot_id()
        except OSError as error:
            raise ConfigurationFault(
                f"cannot open {path}, which stores the shared limits of an upstream: {file_words(error)}"
            ) from error

    def charge(self, now: float, cost_seconds: float, burst_seconds: float) -> float:
        # Blocks the event loop, but only for microseconds. A process stopped inside the lock would stop the others,
        # which ADR 7 accepts.
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            record = os.pread(self._file, _RECORD.size, 0)
            boot, paid_at = _RECORD.unpack(record) if len(record) == _RECORD.size else (b"", 0.0)
            paid_at = charged(paid_at if boot == self._boot else float("-inf"), now, cost_seconds, burst_seconds)
            os.pwrite(self._file, _RECORD.pack(self._boot, paid_at), 0)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        return paid_at

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class RateLimiter:
    """A limit on an amount per second.

    Args:
        per_second: returns the current limit; None: no limit.
        least_burst: amount that may pass at once. At least the amount of one second may always pass.
        account: stores the state.
        clock: current time. All users of the account need the same clock.
    """

    def __init__(
        self, per_second: Callable[[], float | None], account: RateAccount, clock: Clock, *, least_burst: float = 0
    ) -> None:
        self._per_second = per_second
        self._account = account
        self._clock = clock
        self._least_burst = least_burst

    def charge(self, amount: float) -> float:
        """Charge ``amount`` and return the seconds to wait before continuing."""
        rate = self._per_second()
        if rate is None:
            return 0.0
        now = self._clock.monotonic_seconds()
        burst_seconds = max(1.0, self._least_burst / rate)
        return max(self._account.charge(now, amount / rate, burst_seconds) - now, 0.0)


@contextmanager
def opened_account(path: Path | None) -> Iterator[RateAccount]:
    """Yield an account in a file, or an account of this process alone if ``path`` is None.

    Raises:
        ConfigurationFault: as :class:`SharedRateAccount`.
    """
    if path is None:
        yield ProcessRateAccount()
        return
    with closing(SharedRateAccount(path)) as account:
        yield account
