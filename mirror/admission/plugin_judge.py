"""Protocols that the use cases of admission work with; ``mirror.app`` hands them instances."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from mirror.oci import Manifest, Repository
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admissions import Admission, AdmissionDecision, Subject
from mirror.registry.port import Registry


class PluginJudge(Protocol):
    """Judges plugins by a policy, or without one by rejections and by what can be read."""

    @property
    def policy_id(self) -> str:
        """Fingerprint of the policy."""
        ...

    async def assess(self, registry: Registry, repository: Repository, manifest: Manifest) -> Admission:
        """Judge a plugin that is held, and note the outcome.

        Raises:
            BlobUnknown, ManifestBlobUnknown: something that must be in the repository is not.
        """
        ...

    async def fingerprints(self, registry: Registry, repository: Repository, manifest: Manifest) -> tuple[str, ...]:
        """Fingerprints that a rejection recognises the plugin by."""
        ...

    async def asked(
        self, registry: Registry, repository: Repository, manifest: Manifest
    ) -> tuple[RequestedPrivilege, ...] | None:
        """Things that a plugin asks for, read from its config; None: nobody can know.

        Raises:
            BlobUnknown: the config is not in the repository.
        """
        ...


class Decisions(Protocol):
    """Decisions that people have made, kept for all processes."""

    async def decide(
        self,
        repository: Repository,
        subjects: Sequence[Subject],
        decision: AdmissionDecision,
        *,
        overrule: bool = False,
    ) -> None:
        """Keep a decision about plugins of a repository.

        Raises:
            Denied: an approval of rejected content does not overrule the rejection.
        """
        ...

    async def holding(self, subject: Subject) -> Collection[Repository]:
        """Repositories that hold the content of a plugin."""
        ...
