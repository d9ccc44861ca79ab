"""A rate limiter for requests and for bytes.

One number is all that is kept: the moment at which everything let through so far is paid for. It may lie a little in
the past (that is the burst), and whoever finds it in the future waits until then.
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
from mirror.runtime import private_files
from mirror.runtime.clock import Clock

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_RECORD = struct.Struct("<36sd")


class RateAccount(Protocol):
    """Keeps the moment at which everything is paid for."""

    def charge(self, now: float, cost_seconds: float, burst_seconds: float) -> float:
        """Add a cost, and give the moment as it is then."""
        ...


def charged(paid_at: float, now: float, cost_seconds: float, burst_seconds: float) -> float:
    """The moment at which everything is paid for, after one more cost.

    Args:
        paid_at: the moment before.
        now: the time, in seconds as ``paid_at``.
        cost_seconds: how long the cost takes to pay.
        burst_seconds: how much time that nobody used is given to whoever comes next.
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
    """An account of all processes that are given the same file: workers of a server, and commands beside it.

    The file is locked for some microseconds at a time. It holds the machine's boot beside the moment, for the clock
    begins anew with each.

    Args:
        path: the file; its folder and it are made where absent.

    Raises:
        ConfigurationFault: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            private_files.make_folder(path.parent)
            self._file = private_files.open_file(path, os.O_RDWR | os.O_CREAT)
            self._boot = _BOOT.read_bytes().strip()
        except OSError as error:
            raise ConfigurationFault(
                f"{path}, which keeps the limits of an upstream, cannot be opened: {error}"
            ) from error

    def charge(self, now: float, cost_seconds: float, burst_seconds: float) -> float:
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
        """Let go of the file."""
        os.close(self._file)


class RateLimiter:
    """A limit on something that is counted.

    Args:
        per_second: the limit just now; None: there is none.
        least_burst: so much is let through at once, and never less than what one second allows.
        account: who keeps count.
        clock: tells the time; the same for all who share the account.
    """

    def __init__(
        self, per_second: Callable[[], float | None], account: RateAccount, clock: Clock, *, least_burst: float = 0
    ) -> None:
        self._per_second = per_second
        self._account = account
        self._clock = clock
        self._least_burst = least_burst

    def charge(self, amount: float) -> float:
        """Count ``amount``, and give the seconds to wait before going on."""
        rate = self._per_second()
        if rate is None:
            return 0.0
        now = self._clock.monotonic_seconds()
        burst_seconds = max(1.0, self._least_burst / rate)
        return max(self._account.charge(now, amount / rate, burst_seconds) - now, 0.0)


@contextmanager
def opened_account(path: Path | None) -> Iterator[RateAccount]:
    """An account in a file, or of this process alone where none is named.

    Raises:
        ConfigurationFault: as :class:`SharedRateAccount`.
    """
    if path is None:
        yield ProcessRateAccount()
        return
    with closing(SharedRateAccount(path)) as account:
        yield account
