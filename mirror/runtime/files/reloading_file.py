"""Values read from files that other programs rewrite at run time, such as passwords and certificates."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from mirror.runtime.clock import Clock

Given = TypeVar("Given")

_LOG = structlog.get_logger(__name__)
_LOOKED_AT_EVERY_SECONDS: Final = 2.0
#: Time after which files that could not be read are read again although they have not changed.
_TRIED_AGAIN_AFTER_SECONDS: Final = 60.0


class ReloadingFile(Generic[Given]):
    """A value that is read from files and read again after they change.

    If reading fails after a change, the last value stays in use, because another program may be writing the files.

    Args:
        what: kind of the value, for the log, such as ``login``.
        files: paths of the files.
        read: reads the value. The function may block.
        clock: determines when to check the files again.

    Raises:
        ConfigurationFault: the first ``read`` fails.
    """

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], Given], clock: Clock) -> None:
        self._what = what
        self._files = list(files)
        self._read = read
        self._clock = clock
        self._looking = threading.Lock()
        self._states = self._look()
        self._failed_at_seconds: float | None = None
        self._looked_at = clock.monotonic_seconds()
        self._given = read()

    async def current(self) -> Given:
        """Return the value. A change of the files is seen after at most two seconds."""
        now = self._clock.monotonic_seconds()
        if self._files and now - self._looked_at >= _LOOKED_AT_EVERY_SECONDS:
            # Set before the check, so concurrent callers do not check as well. They get the old value meanwhile.
            self._looked_at = now
            await asyncio.to_thread(self._look_again)
        return self._given

    async def newest(self) -> Given:
        """Return the value after a look at the files. A change of the files is seen at once."""
        await asyncio.to_thread(self._look_again)
        return self._given

    async def follow(self) -> None:
        """Check the files every two seconds until cancelled, so that a mistake is logged before the value is needed."""
        while True:
            await asyncio.sleep(_LOOKED_AT_EVERY_SECONDS)
            await self.current()

    def _look_again(self) -> None:
        with self._looking:  # a second caller waits for the value that the first one reads
            states, now_seconds = self._look(), self._clock.monotonic_seconds()
            has_changed, failed_at_seconds = states != self._states, self._failed_at_seconds
            # Remember the state also if reading fails. A half-written file is read again once it changes again.
            self._states = states
            # A reason may pass without a change of the files: a certificate that begins later, or a lack of memory.
            is_due = failed_at_seconds is not None and now_seconds - failed_at_seconds >= _TRIED_AGAIN_AFTER_SECONDS
            if has_changed or is_due:
                self._read_again(now_seconds, tells=has_changed)

    def _read_again(self, now_seconds: float, *, tells: bool) -> None:
        try:
            self._given = self._read()
        except Exception as error:  # noqa: BLE001 - whatever is in a file, it must not end the program
            self._failed_at_seconds = now_seconds
            if tells:
                reason = str(error) or repr(error)
                _LOG.warning(
                    "file not reloaded, last value stays in use", kind=self._what, files=self._names, error=reason
                )
        else:
            self._failed_at_seconds = None
            _LOG.info("file reloaded", kind=self._what, files=self._names)

    @property
    def _names(self) -> list[str]:
        return [str(file) for file in self._files]

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_state(file) for file in self._files]


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # A file replaced by a rename has another inode, even if the size and the timestamp are equal. A change of the owner
    # or of the mode, which may make a file readable, changes the last of the times only.
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns
