"""Ports of the journal of runs: the store implements both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.records.origins import OtherTags
from mirror.records.sync_runs import MirroredTag, RuleRecord, Run, RunStep, TagEvent, TagRecord


class RunRecorder(Protocol):
    """Port for writing while a rule runs. One process at a time runs a rule."""

    async def begin_run(self, rule: str, fingerprint: str | None = None) -> Run:
        """Begin a run. Earlier runs of the rule that have not ended are recorded as interrupted.

        Args:
            rule: name of the rule.
            fingerprint: fingerprint of the rule; None if unknown.
        """
        ...

    async def record(self, run: Run, steps: Sequence[RunStep]) -> None:
        """Record planned or completed steps in one transaction."""
        ...

    async def end_run(self, run: Run, upstream: str = "") -> None:
        """Record the end of a run, and its bytes as traffic from the upstream.

        The oldest runs and events over the limits are deleted.
        """
        ...

    async def mirrored(self, repository: Repository) -> Mapping[Tag, MirroredTag]:
        """Return the tags that rules have copied into a repository."""
        ...

    async def pulled_since(self, repository: Repository, since: datetime) -> Collection[str]:
        """Return the tags and digests of a repository that were pulled since a time."""
        ...

    async def other_tags(self, repository: Repository) -> OtherTags:
        """Return the tags of a repository that clients have pushed, and those that were pulled through."""
        ...

    async def tag_digests(self, repository: Repository, tags: Collection[Tag]) -> Mapping[Tag, Digest]:
        """Return the digests of those of ``tags`` that exist in a repository."""
        ...

    async def held_manifest(self, owner: Repository, digest: Digest, media_type: str) -> Manifest | None:
        """Return a manifest that any repository holds as this type, else None. Owners, who want it, take turns."""
        ...


class RunHistory(Protocol):
    """Port for reading the records of runs and tags."""

    async def rule_record(self, rule: str) -> RuleRecord:
        """Return the record of a rule. An unknown rule is known from now on."""
        ...

    async def runs(self, rule: str, limit: int) -> Sequence[Run]:
        """Return the latest runs of a rule, the latest first."""
        ...

    async def entries(self, run_id: int) -> Sequence[TagRecord]:
        """Return the records of a run, ordered by name and tag."""
        ...

    async def mirrored_by(self, rule: str) -> Sequence[MirroredTag]:
        """Return the tags that a rule has copied, ordered by name and tag."""
        ...

    async def events_of(self, rule: str, limit: int) -> Sequence[TagEvent]:
        """Return the latest events of the tags that a rule has copied, the latest first."""
        ...

    async def history(self, repository: Repository, tag: Tag | None, limit: int) -> Sequence[TagEvent]:
        """Return the latest events of a tag, or of all tags of a repository, the latest first."""
        ...
