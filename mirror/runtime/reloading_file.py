"""Values read from files that other programs rewrite at run time, such as passwords and certificates."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import Clock

Given = TypeVar("Given")

_LOG = structlog.get_logger(__name__)
_LOOKED_AT_EVERY_SECONDS: Final = 2.0


class ReloadingFile(Generic[Given]):
    """A value that is read from files and read again after they change.

    If reading fails after a change, the last value stays in use, because another program may be writing the files.

    Args:
        what: kind of the value, for the log, such as ``login``.
        files: paths of the files; ``~`` is the home folder.
        read: reads the value. The function may block.
        clock: determines when to check the files again.

    Raises:
        ConfigurationFault: the first ``read`` fails.
    """

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], Given], clock: Clock) -> None:
        self._what = what
        self._files = [file.expanduser() for file in files]
        self._read = read
        self._clock = clock
        self._looking = threading.Lock()
        self._states = self._look()
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
            states = self._look()
            if states != self._states:
                self._read_again(states)

    def _read_again(self, states: list[tuple[int, int, int] | None]) -> None:
        # Remember the state also if reading fails. A half-written file is read again once it changes again.
        self._states = states
        try:
            self._given = self._read()
        except ConfigurationFault as error:
            _LOG.warning("file not reloaded, last value stays in use", kind=self._what, error=str(error))
        else:
            _LOG.info("file reloaded", kind=self._what)

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(file) for file in self._files]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # A file replaced by a rename has another inode, even if the size and the timestamp are equal.
    return found.st_ino, found.st_mtime_ns, found.st_size
