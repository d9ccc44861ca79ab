"""What a case measures: who, and under what load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.sample import Outcome
from tests.bench.servers import Contestant, Server

Load = Callable[[Server, int], Outcome]


@dataclass(frozen=True, slots=True)
class Trial:
    """Contestants that have what the case needs, the first one ours, and how each of them is loaded.

    `loads` has those that are loaded in another way than by `load`, by name.
    """

    contestants: Sequence[Contestant]
    load: Load
    loads: Mapping[str, Load] = field(default_factory=dict)

    def load_of(self, contestant: Contestant) -> Load:
        """How this one is loaded."""
        return self.loads.get(contestant.name, self.load)
