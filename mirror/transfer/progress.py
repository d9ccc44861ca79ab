"""How a copy tells what it does, for a progress bar or a log."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What became of a tag."""

    COPIED = "copied"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Progress(Protocol):
    """Told of one manifest after the other: ``begin``, then ``expect`` and ``advance``, then ``done``."""

    def begin(self, label: str) -> None:
        """Work on one manifest begins; ``label`` is its name here, as ``contiv/v2plugin:1.0.0``."""
        ...

    def expect(self, total_bytes: int) -> None:
        """So many bytes will move. Not called where nothing has to be looked at."""
        ...

    def advance(self, size_bytes: int) -> None:
        """So many more bytes have moved, or have turned out to be there."""
        ...

    def done(self, outcome: Outcome, reason: str = "") -> None:
        """It ended; ``reason`` says why it failed."""
        ...


class SilentProgress:
    """Tells nobody."""

    def begin(self, label: str) -> None:
        """Nothing."""

    def expect(self, total_bytes: int) -> None:
        """Nothing."""

    def advance(self, size_bytes: int) -> None:
        """Nothing."""

    def done(self, outcome: Outcome, reason: str = "") -> None:
        """Nothing."""
