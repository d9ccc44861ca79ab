"""Definition of a trial: the contestants of a case and their load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.sample import Outcome
from tests.bench.servers import Contestant, Server

Load = Callable[[Server, int], Outcome]


@dataclass(frozen=True, slots=True)
class Trial:
    """Prepared contestants of a case. The first contestant is ours.

    Attributes:
        contestants: The contestants.
        load: Load for the contestants.
        loads: Loads that replace `load`, by the name of the contestant.
    """

    contestants: Sequence[Contestant]
    load: Load
    loads: Mapping[str, Load] = field(default_factory=dict)

    def load_of(self, contestant: Contestant) -> Load:
        """Return the load for a contestant."""
        return self.loads.get(contestant.name, self.load)
