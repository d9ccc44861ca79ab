"""Protocols by which copies report progress, for a progress bar or a log."""

from __future__ import annotations

from typing import Protocol

from mirror.records.sync_runs import TagOutcome


class Progress(Protocol):
    """Told of the progress of one copy."""

    def expect(self, total_bytes: int) -> None:
        """Note that so many more bytes will move. Not called where there is nothing to compare."""
        ...

    def advance(self, size_bytes: int) -> None:
        """Note that so many more bytes have moved, or need not move."""
        ...


class TagProgress(Progress, Protocol):
    """Told of the progress of one tag, and of its end."""

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        """Note the end; ``reason`` says why the tag failed or was skipped."""
        ...


class Reporter(Protocol):
    """Told of every tag that is copied; there may be several at a time."""

    def begin(self, label: str) -> TagProgress:
        """Note that one tag begins; ``label`` is its local name, as ``contiv/v2plugin:1.0.0``."""
        ...


class SilentProgress:
    """Reports to nobody."""

    def expect(self, total_bytes: int) -> None:
        """Do nothing."""

    def advance(self, size_bytes: int) -> None:
        """Do nothing."""

    def done(self, outcome: TagOutcome, reason: str = "") -> None:
        """Do nothing."""


class SilentReporter:
    """Reports to nobody."""

    def begin(self, label: str) -> SilentProgress:
        """Do nothing."""
        return SilentProgress()
