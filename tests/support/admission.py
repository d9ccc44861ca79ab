"""A store behind both admission wrappers, under one policy after another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mirror.filters.admission.admission_controller import AdmissionController
from mirror.filters.admission.admit import Admit, Withhold
from mirror.filters.admission.plugin_fingerprints import Fingerprints
from mirror.filters.plugin_checks import PluginChecker, PluginChecks
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import Denied
from mirror.plugin.policy.admission_policy import Policy, PolicyRule
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.plugin.policy.privilege_pattern import PrivilegePattern
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.records.admission.admissions import Admission, AdmissionDecision, AdmissionState, Subject
from mirror.records.admission.verdicts import AdmissionRecords
from mirror.registry.port import Registry
from mirror.registry.streams import single_chunk
from mirror.store.registry import Store
from tests.support.clocks import ShiftedClock

HERE, OTHER, TAG = Repository("acme/driver"), Repository("acme/copy"), Tag("1.0")
HOST = {"Network": {"Type": "host"}}
ROOT = HOST | {"Mounts": [{"Source": "/"}]}
NO_ROOT = PolicyRule("no-root", PolicyAction.DENY, privileges=(PrivilegePattern.parse("mount=/"),))
HOST_NETWORK = PolicyRule("host-network", PolicyAction.HOLD, privileges=(PrivilegePattern.parse("network=host"),))
SAY_HOST_NETWORK = PolicyRule("say", PolicyAction.WARN, privileges=(PrivilegePattern.parse("network=host"),))
GROWN = PolicyRule("grown", PolicyAction.HOLD, grown=True)
UNSIGNED = PolicyRule("unsigned", PolicyAction.HOLD, signed=False)


def decision(*, approved: bool) -> AdmissionDecision:
    """Return a decision by alice."""
    return AdmissionDecision(approved, "alice", datetime.now(UTC), "looked at it")


def admission_records(store: Store) -> AdmissionRecords:
    """Return the records of a store that judge plugins."""
    return AdmissionRecords(
        store.records.verdicts, store.records.decisions, store.records.plugins, store.records.arrivals
    )


class World:
    """A server that a test restarts with one policy after another, or without a policy.

    Attributes:
        store: the server's store.
        registry: the store as clients see it.
        with_held: the store as those see it who may push.
        judge: the admission controller.
        counted: admission outcomes that were counted.
        policy: fingerprint of the current policy.
        clock: clock of the server.
    """

    def __init__(self, store: Store, clock: ShiftedClock) -> None:
        self.store = store
        self.clock = clock
        self.counted: list[PolicyAction] = []
        self.follow(Policy())

    def follow(self, policy: Policy | None, *, checks: bool = False) -> None:
        """Become a server that was started with this policy.

        Args:
            policy: the policy; None: no rules.
            checks: True if plugins are checked.
        """
        layers = SharedLayerReader(DEFAULT_LIMITS)
        checker = PluginChecker(self.store.records.findings.record_findings, layers, enforce=True) if checks else None
        judge = AdmissionController(
            policy,
            admission_records(self.store),
            self.clock,
            self.counted.append,
            layers=layers,
            examine=None if checker is None else checker.examine,
        )
        behind: Registry = self.store if checker is None else PluginChecks(self.store, checker)
        self.registry = Withhold(Admit(behind, judge), judge)
        self.with_held = Withhold(self.registry.inner, judge, shows_held=True)
        self.judge = judge
        self.policy = None if policy is None else policy.fingerprint

    async def blob(
        self, content: bytes, media_type: str, repository: Repository = HERE, algorithm: str = "sha256"
    ) -> Descriptor:
        """Store a blob. Returns its descriptor."""
        upload = await self.registry.begin_upload(repository)
        await upload.append(single_chunk(content))
        held = await upload.commit(Digest.of(content, algorithm))
        return Descriptor(media_type, held.digest, held.size_bytes)

    async def manifest(
        self, config: Any, repository: Repository = HERE, algorithm: str = "sha256", **members: Any
    ) -> Manifest:
        """Return a plugin's manifest, and store its config. ``config`` holds members or bytes."""
        content = config if isinstance(config, bytes) else json.dumps(config).encode()
        described = await self.blob(content, media_types.DOCKER_PLUGIN_CONFIG, repository, algorithm)
        body = {"schemaVersion": 2, "config": described.to_json(), "layers": [], **members}
        return Manifest.parse(json.dumps(body).encode(), members.get("mediaType", media_types.DOCKER_MANIFEST))

    async def push(
        self, config: Any, tag: Tag = TAG, repository: Repository = HERE, **members: Any
    ) -> tuple[Manifest, tuple[str, ...]]:
        """Push a plugin. Returns its manifest and the advice."""
        manifest = await self.manifest(config, repository, **members)
        return manifest, await self.registry.put_manifest(repository, manifest, [tag])

    async def sign(self, manifest: Manifest, repository: Repository = HERE) -> None:
        """Push a manifest that looks like a signature."""
        signature = await self.manifest(
            b"{}",
            repository,
            mediaType=media_types.OCI_MANIFEST,
            artifactType="application/vnd.dev.cosign.artifact.sig.v1+json",
            subject=manifest.descriptor.to_json(),
        )
        await self.store.put_manifest(repository, signature)

    async def decide(
        self, manifest: Manifest, *, approved: bool, repository: Repository = HERE, overrule: bool = False
    ) -> Admission:
        """Decide as a person who names the digest."""
        texts = await Fingerprints().of(self.store, repository, manifest)
        subject = Subject(manifest.digest, texts, manifest.config and manifest.config.digest)
        await self.store.records.decisions.decide(repository, [subject], decision(approved=approved), overrule=overrule)
        known = await self.known(manifest, repository)
        assert known is not None
        return known

    async def known(self, manifest: Manifest, repository: Repository = HERE) -> Admission | None:
        """Return the recorded verdict on a plugin."""
        texts = await Fingerprints().of(self.store, repository, manifest)
        return await self.store.records.verdicts.admission(repository, manifest.digest, self.policy, texts)

    async def state(self, manifest: Manifest, repository: Repository = HERE) -> AdmissionState | None:
        """Return the recorded admission state of a plugin. None if there is none."""
        known = await self.known(manifest, repository)
        return None if known is None else known.state

    async def gives(self, target: Tag | Digest, repository: Repository = HERE) -> bool:
        """Return True if the manifest is served."""
        try:
            await self.registry.get_manifest(repository, target)
        except Denied:
            return False
        return True

    async def gives_blob(self, digest: Digest, repository: Repository = HERE) -> bool:
        """Return True if the blob is served."""
        try:
            async with self.registry.open_blob(repository, digest) as blob:
                assert [chunk async for chunk in blob]
        except Denied:
            return False
        return True

    async def takes(
        self, manifest: Manifest, repository: Repository = HERE, tags: Sequence[Tag] = (Tag("other"),)
    ) -> bool:
        """Return True if the manifest is accepted."""
        try:
            await self.registry.put_manifest(repository, manifest, tags)
        except Denied:
            return False
        return True
