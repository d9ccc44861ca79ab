"""How copies tell what they do, for a progress bar or a log."""

from __future__ import annotations

from typing import Protocol

from mirror.registry.journal import Outcome


class Progress(Protocol):
    """Told how one copy goes on."""

    def expect(self, total_bytes: int) -> None:
        """So many more bytes will move. Not called where nothing has to be looked at."""
        ...

    def advance(self, size_bytes: int) -> None:
        """So many more bytes have moved, or have turned out to be there."""
        ...


class TagProgress(Progress, Protocol):
    """Told how the work on one tag goes on, and of its end."""

    def done(self, outcome: Outcome, reason: str = "") -> None:
        """It ended; ``reason`` says why it failed or was skipped."""
        ...


class Reporter(Protocol):
    """Told of every tag that is worked on; there may be several at a time."""

    def begin(self, label: str) -> TagProgress:
        """Work on one tag begins; ``label`` is its name here, as ``contiv/v2plugin:1.0.0``."""
        ...


class SilentProgress:
    """Tells nobody."""

    def expect(self, total_bytes: int) -> None:
        """Nothing."""

    def advance(self, size_bytes: int) -> None:
        """Nothing."""

    def done(self, outcome: Outcome, reason: str = "") -> None:
        """Nothing."""


class SilentReporter:
    """Tells nobody."""

    def begin(self, label: str) -> SilentProgress:
        """Nothing."""
        return SilentProgress()
