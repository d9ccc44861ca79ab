"""A clock that a test sets while a program runs: libfaketime, preloaded into the program.

Only the time of day is changed. The monotonic clock goes on, as it does when an administrator sets the time.
"""

from collections.abc import Sequence
from pathlib import Path

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def missing() -> str | None:
    """Return a sentence that names the missing package, or None if libfaketime is installed."""
    return None if _LIBRARIES else "libfaketime is not installed (Debian: apt-get install libfaketime)"


class SetClock:
    """The time of day of the programs that are started with `wrapper`.

    Args:
        folder: Existing folder for the file that the programs read. They must be able to read it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set("+0")

    @property
    def wrapper(self) -> Sequence[str]:
        """Command that starts a program with this clock."""
        return (
            "env",
            f"LD_PRELOAD={_LIBRARIES[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        )

    def set(self, offset: str) -> None:
        """Set the time of day to the real one plus `offset`, such as `-1d` or `+365d`."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.replace(self._file)  # a program reads the old offset or the new one, never half of it
