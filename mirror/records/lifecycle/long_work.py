"""Long work that goes on where it was after a restart, and the protocol of its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class WorkState:
    """State of long work.

    Attributes:
        position: place at which the work goes on.
        updated_at: time of the last record; None if there is none.
        finished_at: time at which the work was last finished; None if it never was.
        state: further values of the work, as JSON.
    """

    position: str = ""
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


class LongWork(Protocol):
    """Port to the records of long work. All methods raise StorageFault."""

    async def find(self, name: str) -> WorkState:
        """Return the state of some work. Work that has never begun has an empty state."""
        ...

    async def note(self, name: str, position: str, state: Mapping[str, Any], *, finished: bool) -> None:
        """Record how far some work has come.

        Args:
            name: name of the work.
            position: place at which the work goes on.
            state: further values of the work, as JSON.
            finished: True if the work is finished now. It may begin again.
        """
        ...
