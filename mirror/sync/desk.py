"""What runs of rules work with."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.registry.derivations import Derivations
from mirror.registry.journal import Journal
from mirror.runtime.clock import Clock
from mirror.sync.rule import MirrorRule
from mirror.transfer.concurrency import Turns
from mirror.transfer.derive import Layers, Maker
from mirror.transfer.progress import Reporter


@dataclass(frozen=True, slots=True)
class Desk:
    """What runs of rules work with.

    Attributes:
        journal: where they are noted.
        derivations: where it is noted how copies with changes came about.
        layers: asked about layers, where something is to be mended.
        clock: tells when.
        reporter: told of each tag.
        turns: shared by runs at the same time.
    """

    journal: Journal
    derivations: Derivations
    layers: Layers
    clock: Clock
    reporter: Reporter
    turns: Turns

    def maker(self, rule: MirrorRule) -> Maker:
        """Who makes a rule's copies with changes."""
        return Maker(f"rule {rule.name}", self.derivations, self.layers, self.clock.now)
