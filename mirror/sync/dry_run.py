"""Dry runs: ordinary runs against a destination and a journal that keep nothing.

A dry run takes every step of a run. It reads manifests and plugin configs from the upstream, and only counts other
blobs. Content a run would have stored is remembered until the dry run ends, so later tags, repositories and rules find
it (ADR 25).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import BlobUnknown
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.records.absent_content import AbsentContent, AbsentContents
from mirror.records.derivations import Derivation, Derivations
from mirror.records.run_journal import RunRecorder
from mirror.records.sync_runs import MirroredTag, Run, RunStep
from mirror.runtime.clock import Clock
from mirror.sync.dry_run_registry import DryRunRegistry
from mirror.sync.repository_run import RunContext
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.derive_copy import Derived, DerivedCopyMaker, derive_beside
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import SilentReporter

#: Returns the tags of a repository that a dry run has set, or deleted (None).
AssumedTags = Callable[[Repository], Mapping[Tag, Digest | None]]


class DryRunRecorder:
    """Journal that keeps nothing after the dry run.

    Implements :class:`mirror.records.sync_runs.RunRecorder` and :class:`mirror.records.derivations.Derivations`.

    Args:
        journal: journal to read. Nothing is written to it.
        derivations: records of copies with changes to read. Nothing is written to them.
        clock: source of the current time.
        assumed_tags: returns the tags of a repository that the dry run has set or deleted (None).
    """

    def __init__(self, journal: RunRecorder, derivations: Derivations, clock: Clock, assumed_tags: AssumedTags) -> None:
        self._journal = journal
        self._derivations = derivations
        self._clock = clock
        self._assumed_tags = assumed_tags
        # Only read by runs, so the methods of the journal itself serve.
        self.pulled_since, self.other_tags = journal.pulled_since, journal.other_tags
        self.held_manifest = journal.held_manifest
        self._rows: dict[Repository, dict[Tag, MirroredTag]] = {}
        self._derived: dict[Digest, Derivation] = {}

    async def begin_run(self, rule: str, fingerprint: str | None = None) -> Run:
        """Begin a run without a number of its own. Its id is 0."""
        return Run(0, rule, self._clock.now())

    async def record(self, run: Run, steps: Sequence[RunStep]) -> None:
        """Remember the tags which the rule would have copied."""
        for step in steps:
            if step.mirrored is not None:
                self._rows.setdefault(step.mirrored.repository, {})[step.mirrored.tag] = step.mirrored

    async def end_run(self, _run: Run, _upstream: str = "") -> None:
        """Do nothing, because the run ends with the process."""

    async def mirrored(self, repository: Repository) -> Mapping[Tag, MirroredTag]:
        """Read the tags of a repository copied by rules, including the copies assumed so far."""
        return {**await self._journal.mirrored(repository), **self._rows.get(repository, {})}

    async def tag_digests(self, repository: Repository, tags: Collection[Tag]) -> Mapping[Tag, Digest]:
        """Read the digests of tags, including the tags assumed so far."""
        assumed = self._assumed_tags(repository)
        found = {**await self._journal.tag_digests(repository, tags), **assumed}
        return {tag: digest for tag in tags if (digest := found.get(tag)) is not None}

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        """Remember the derivation of an assumed copy."""
        self._derived.setdefault(digest, derivation)

    async def derivation(self, digest: Digest) -> Derivation | None:
        """Read the derivation of a copy, real or assumed."""
        return await self._derivations.derivation(digest) or self._derived.get(digest)


def dry_run_context(context: RunContext, registry: DryRunRegistry) -> RunContext:
    """Make the context of a dry run from the context of runs."""
    journal = DryRunRecorder(context.journal, context.derivations, context.clock, registry.assumed_tags)
    return replace(
        context,
        journal=journal,
        derivations=journal,
        reporter=SilentReporter(),
        locks=BlobLocks(registry),
        derive=_derive_without_layers,
        absent=_DryRunAbsence(context.absent),
    )


class _DryRunAbsence:
    """Records of absent content to which nothing is added. Implements :class:`AbsentContents`."""

    def __init__(self, records: AbsentContents) -> None:
        self.absent_content = records.absent_content

    async def record_absent(
        self, repository: Repository, manifest: Digest, contents: Collection[AbsentContent]
    ) -> None: ...


async def _derive_without_layers(
    destination: CopyDestination,
    original: Digest,
    tags: Collection[Tag],
    changes: DerivationChanges,
    *,
    source: str,
    maker: DerivedCopyMaker,
) -> Derived | None:
    try:
        return await derive_beside(destination, original, tags, changes, source=source, maker=maker)
    except BlobUnknown:
        if not changes.fix:
            raise
        # ``fix`` reads the layers, and a dry run does not download them: the digest of the copy stays unknown.
        return None
