"""Several rules, one after the other, each by one process at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.registry.journal import Outcome
from mirror.registry.port import ReadLister
from mirror.sync.desk import Desk
from mirror.sync.job import run_rule
from mirror.sync.look import Keeper
from mirror.sync.result import RuleResult
from mirror.sync.rule import MirrorRule


class RuleLock(Protocol):
    """Keeps a rule to one holder, over all processes on the same data."""

    def __call__(self, rule_name: str, /) -> AbstractAsyncContextManager[object]:
        """Held inside the ``async with``. Entering raises Busy where another holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of all rules, in the order they were run."""

    rules: tuple[RuleResult, ...]

    def count(self, outcome: Outcome) -> int:
        """How many tags, or lists of tags, had an outcome; whole rules that failed count as failed."""
        counted = sum(result.counts[outcome] for result in self.rules)
        return (
            counted + sum(result.error is not None for result in self.rules) if outcome is Outcome.FAILED else counted
        )

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from upstreams."""
        return sum(result.moved_bytes for result in self.rules)

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed."""
        return all(result.succeeded for result in self.rules)


async def run_rules(
    rules: Iterable[MirrorRule], sources: Mapping[str, ReadLister], destination: Keeper, lock: RuleLock, desk: Desk
) -> Summary:
    """Run rules in the order given; one that fails does not stop the others.

    Args:
        rules: what to run.
        sources: the upstreams by name, open.
        destination: where everything goes.
        lock: held while a rule runs.
        desk: what the runs work with.
    """
    return Summary(tuple([await _run(rule, sources, destination, lock, desk) for rule in rules]))


async def _run(
    rule: MirrorRule, sources: Mapping[str, ReadLister], destination: Keeper, lock: RuleLock, desk: Desk
) -> RuleResult:
    try:
        async with lock(rule.name):
            return await run_rule(rule, source_of(rule, sources), destination, desk)
    except MirrorError as error:
        return RuleResult(rule.name, error=error)


def source_of(rule: MirrorRule, sources: Mapping[str, ReadLister]) -> ReadLister:
    """The upstream that a rule copies from.

    Raises:
        ConfigurationFault: there is none of that name.
    """
    source = sources.get(rule.source)
    if source is None:
        known = ", ".join(sorted(sources)) or "none"
        raise ConfigurationFault(
            f"mirror rule {rule.name} copies from {rule.source!r}, which is no upstream: {known} are configured"
        )
    return source
