"""Protocols used by the admission use cases. ``mirror.app`` passes the implementations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from mirror.oci import Manifest, Repository
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admission.admissions import Admission, AdmissionDecision, Subject
from mirror.registry.port import Registry


class PluginJudge(Protocol):
    """Judges plugins by a policy. Without a policy, only rejections and unreadable content count."""

    @property
    def policy_id(self) -> str:
        """The fingerprint of the policy."""
        ...

    async def assess(self, registry: Registry, repository: Repository, manifest: Manifest) -> Admission:
        """Judge a plugin held in a repository and record the outcome.

        Raises:
            BlobUnknown, ManifestBlobUnknown: the repository lacks content of the plugin.
        """
        ...

    async def fingerprints(self, registry: Registry, repository: Repository, manifest: Manifest) -> tuple[str, ...]:
        """Return the fingerprints by which a rejection recognises the plugin."""
        ...

    async def asked(
        self, registry: Registry, repository: Repository, manifest: Manifest
    ) -> tuple[RequestedPrivilege, ...] | None:
        """Return the privileges a plugin requests in its config; None if the config cannot be interpreted.

        Raises:
            BlobUnknown: the repository does not hold the config.
        """
        ...


class Decisions(Protocol):
    """Stores decisions of people, for all processes."""

    async def decide(
        self,
        repository: Repository,
        subjects: Sequence[Subject],
        decision: AdmissionDecision,
        *,
        overrule: bool = False,
    ) -> None:
        """Store a decision about plugins of a repository.

        Raises:
            Denied: the content was rejected, and the approval does not overrule the rejection.
        """
        ...

    async def holding(self, subject: Subject) -> Collection[Repository]:
        """Return the repositories holding the content of a plugin."""
        ...
