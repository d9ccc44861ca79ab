"""The admission state of plugins in our own registry, for inspection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from mirror.oci import Manifest, Repository
from mirror.plugin.findings.finding import Finding
from mirror.plugin.findings.manifest_findings import PLUGIN_WITHHELD
from mirror.records.admission.admissions import Admission, AdmissionOutcome, AdmissionState
from mirror.records.admission.verdicts import Verdicts
from mirror.registry.port import Registry


@dataclass(frozen=True, slots=True)
class PluginStanding:
    """Reports how plugins stand, without writing anything.

    Attributes:
        registry: our own registry.
        verdicts: stores the verdicts of policies.
        judge: judges a plugin without any policy rules.
        policy: fingerprint of the policy whose verdict is reported; None for the policy that judged last.
    """

    registry: Registry
    verdicts: Verdicts
    judge: Callable[[Registry, Repository, Manifest], Awaitable[AdmissionOutcome]]
    policy: str | None

    async def of(self, repository: Repository, manifest: Manifest) -> Admission | None:
        """Return the admission of a manifest, from the policy's last verdict and a judgement without rules.

        Returns:
            The admission; None if nothing is known about the manifest.
        """
        if not manifest.may_be_plugin:
            return await self.verdicts.admission(repository, manifest.digest, self.policy, ())
        # Without rules, because a policy would first judge and record the plugins that came earlier.
        found = (await self.judge(self.registry, repository, manifest)).admission
        rejected = found.rejection.matched if found.rejection is not None else ()
        known = await self.verdicts.admission(repository, manifest.digest, self.policy, rejected)
        return known if found.verdict is None else replace(known or found, verdict=found.verdict)

    async def findings(self, repository: Repository, manifest: Manifest) -> tuple[Finding, ...]:
        """Return a finding if hosts do not get the plugin for a reason outside the plugin itself."""
        judged = await self.judge(self.registry, repository, manifest)
        is_told = judged.lacks or judged.admission.state is AdmissionState.REJECTED
        return (PLUGIN_WITHHELD(reason=judged.admission.sentence),) if is_told else ()
