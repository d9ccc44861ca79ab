"""Records of the local tags of a repository, seen from a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mirror.oci import Digest, Tag
from mirror.records.origins import OtherTags
from mirror.records.sync_runs import MirroredTag
from mirror.runtime.concurrency.threads import in_thread
from mirror.sync.repository_run import RepositoryMapping, RunContext
from mirror.sync.rules.rule_order import RuleOrder


@dataclass(frozen=True, slots=True)
class LocalTags:
    """Records of the local tags of a repository before a run.

    Attributes:
        order: order of the rules that meet in the repository.
        rows: tags that rules have brought.
        own: tags of ``rows`` that the rule of the run manages.
        others: tags that were pushed or pulled through.
    """

    order: RuleOrder
    rows: Mapping[Tag, MirroredTag]
    own: Mapping[Tag, MirroredTag]
    others: OtherTags

    @classmethod
    async def read(cls, mapping: RepositoryMapping, context: RunContext) -> LocalTags:
        """Read the records of the local repository of a mapping."""
        repository = mapping.local_repository
        order = RuleOrder.of(context.rules, mapping.rule, mapping.upstream_repository, repository)
        rows = await context.journal.mirrored(repository)
        # In a thread: to compare very many tags with the patterns of rules takes seconds.
        own = await in_thread(order.own_rows, rows)
        return cls(order, rows, own, await context.journal.other_tags(repository))

    def holds(self, tag: Tag, digest: Digest | None) -> bool:
        """Return True if the local tag with this digest is as the rule brought it, and no client has pushed it."""
        row = self.own.get(tag)
        return row is not None and row.digest == digest and tag not in self.others.pushed
