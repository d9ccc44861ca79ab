"""Values out of files that others write anew while we run: passwords, certificates."""

from __future__ import annotations

import asyncio
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
    """A value that is read from files, and again when they have changed.

    Where that fails, what was read last stays: somebody is writing them.

    Args:
        what: what it is, for people.
        files: the files; ``~`` is the home folder.
        read: reads them; it may block.
        clock: tells when to look again.

    Raises:
        ConfigurationFault: ``read`` does.
    """

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], Given], clock: Clock) -> None:
        self._what = what
        self._files = [file.expanduser() for file in files]
        self._read = read
        self._clock = clock
        self._states = self._look()
        self._looked_at = clock.monotonic_seconds()
        self._given = read()

    async def current(self) -> Given:
        """The value as it is now, or was a moment ago."""
        now = self._clock.monotonic_seconds()
        if self._files and now - self._looked_at >= _LOOKED_AT_EVERY_SECONDS:
            self._looked_at = now
            await asyncio.to_thread(self._look_again)
        return self._given

    def _look_again(self) -> None:
        states = self._look()
        if states == self._states:
            return
        self._states = states
        try:
            self._given = self._read()
        except ConfigurationFault as error:
            _LOG.warning(f"{self._what} cannot be read again, the last one stays", error=str(error))
        else:
            _LOG.info(f"{self._what} was read again")

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(file) for file in self._files]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
