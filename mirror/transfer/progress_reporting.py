"""Protocols for the progress of copies, implemented by progress bars and logs."""

from __future__ import annotations

from typing import Protocol

from mirror.records.sync_runs import TagOutcome


class Progress(Protocol):
    """Receiver of the progress of one copy."""

    def expect(self, total_bytes: int) -> None:
        """Add bytes to the total to move. Not called if there is nothing to move."""
        ...

    def advance(self, size_bytes: int) -> None:
        """Add bytes that were moved or turned out to need no move."""
        ...


class TagProgress(Progress, Protocol):
    """Receiver of the progress of one tag and of its end."""

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        """Report the end. ``reason`` tells why the tag failed or was skipped."""
        ...


class Reporter(Protocol):
    """Receiver of the tags being copied, several at a time."""

    def begin(self, label: str) -> TagProgress:
        """Report the start of a tag. ``label`` is its local name, for example ``contiv/v2plugin:1.0.0``."""
        ...


class SilentProgress:
    """Progress that reports nothing."""

    def expect(self, total_bytes: int) -> None:
        """Do nothing."""

    def advance(self, size_bytes: int) -> None:
        """Do nothing."""

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        """Do nothing."""


class SilentReporter:
    """Reporter that reports nothing."""

    def begin(self, label: str) -> SilentProgress:
        """Return a progress that reports nothing."""
        return SilentProgress()
