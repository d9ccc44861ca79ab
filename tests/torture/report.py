"""Figures of a run."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

from tests.torture.model import Outcome


@dataclass(slots=True)
class Report:
    """Figures of a campaign. Times are in seconds."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    checked_bytes: int = 0
    inspected_bytes: int = 0
    expired: int = 0
    commands: int = 0
    upkeep: Counter[str] = field(default_factory=Counter)
    start_seconds: list[float] = field(default_factory=list)
    seconds: float = 0

    def text(self) -> str:
        """Return a summary for people."""
        changes = ", ".join(f"{kind} {count}" for kind, count in sorted(self.acknowledged.items()))
        kills = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        upkeep = ", ".join(f"{kind} {count}" for kind, count in sorted(self.upkeep.items()))
        served, on_disk = (f"{size_bytes / 1e9:.1f} GB" for size_bytes in (self.checked_bytes, self.inspected_bytes))
        lines = [
            f"kills            {self.kills.total()} ({kills})",
            f"acknowledged     {self.acknowledged.total()} ({changes})",
            f"in flight        {self.outcomes[Outcome.DONE]} done, {self.outcomes[Outcome.UNDONE]} not done",
            f"checked          {served} as served, {on_disk} on disk",
            f"uploads expired  {self.expired}",
            f"commands run     {self.commands}",
            f"upkeep           {self.upkeep.total()} to the end ({upkeep})",
            f"start, median    {statistics.median(self.start_seconds):.2f} s, maximum {max(self.start_seconds):.2f} s",
            f"duration         {self.seconds:.0f} s",
        ]
        return "\n".join(lines)
