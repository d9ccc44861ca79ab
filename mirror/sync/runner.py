"""Several rules, one after the other, each by one process at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.sync.job import RuleResult, Source, run_rule
from mirror.sync.rule import MirrorRule
from mirror.transfer.copy import Holder
from mirror.transfer.progress import Progress


class RuleLock(Protocol):
    """Keeps a rule to one holder, over all processes on the same data."""

    def __call__(self, rule_name: str, /) -> AbstractAsyncContextManager[object]:
        """Held inside the ``async with``. Entering waits, or raises an error of the tree where another holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of all rules, in the order they were run."""

    rules: tuple[RuleResult, ...]

    @property
    def copied(self) -> int:
        """How many tags were copied."""
        return sum(len(result.copied) for result in self.rules)

    @property
    def unchanged(self) -> int:
        """How many tags were here already."""
        return sum(len(result.unchanged) for result in self.rules)

    @property
    def failed(self) -> int:
        """How many tags, lists of tags and whole rules failed."""
        return sum(len(result.failed) + (result.error is not None) for result in self.rules)

    @property
    def moved_bytes(self) -> int:
        """Bytes of blobs read from upstreams."""
        return sum(result.moved_bytes for result in self.rules)

    @property
    def succeeded(self) -> bool:
        """Whether nothing failed."""
        return all(result.succeeded for result in self.rules)


async def run_rules(
    rules: Iterable[MirrorRule],
    sources: Mapping[str, Source],
    destination: Holder,
    lock: RuleLock,
    progress: Progress,
) -> Summary:
    """Run rules in the order given; one that fails does not stop the others.

    Args:
        rules: what to run.
        sources: the upstreams by name, open.
        destination: where everything goes.
        lock: held while a rule runs.
        progress: told of each tag.
    """
    return Summary(tuple([await _run(rule, sources, destination, lock, progress) for rule in rules]))


async def _run(
    rule: MirrorRule, sources: Mapping[str, Source], destination: Holder, lock: RuleLock, progress: Progress
) -> RuleResult:
    try:
        async with lock(rule.name):
            source = sources.get(rule.source)
            if source is None:
                known = ", ".join(sorted(sources)) or "none"
                raise ConfigurationFault(
                    f"mirror rule {rule.name} copies from {rule.source!r}, which is no upstream: {known} are configured"
                )
            return await run_rule(rule, source, destination, progress)
    except MirrorError as error:
        return RuleResult(rule.name, error=error)
