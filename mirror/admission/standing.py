"""The standing of a plugin in our own registry, for whoever inspects it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from mirror.oci import Manifest, Repository
from mirror.plugin.lint.findings import Finding
from mirror.plugin.lint.manifest_findings import PLUGIN_WITHHELD
from mirror.records.admissions import Admission, AdmissionOutcome, AdmissionState
from mirror.records.verdicts import Verdicts
from mirror.registry.port import Registry


@dataclass(frozen=True, slots=True)
class PluginStanding:
    """Tells how plugins stand, and writes nothing.

    Attributes:
        registry: our own registry.
        verdicts: keeps what policies say.
        judge: judges without any rules.
        policy: fingerprint of the policy whose verdict is told; None: of whichever spoke last.
    """

    registry: Registry
    verdicts: Verdicts
    judge: Callable[[Registry, Repository, Manifest], Awaitable[AdmissionOutcome]]
    policy: str | None

    async def of(self, repository: Repository, manifest: Manifest) -> Admission | None:
        """Tell how something stands, by the policy's last word and without rules. None: nothing is known of it."""
        if not manifest.may_be_plugin:
            return await self.verdicts.admission(repository, manifest.digest, self.policy, ())
        found = (await self.judge(self.registry, repository, manifest)).admission
        rejected = found.rejection.matched if found.rejection is not None else ()
        known = await self.verdicts.admission(repository, manifest.digest, self.policy, rejected)
        return known if found.verdict is None else replace(known or found, verdict=found.verdict)

    async def findings(self, repository: Repository, manifest: Manifest) -> tuple[Finding, ...]:
        """A finding where no host gets the plugin, for another reason than a fault of its own."""
        judged = await self.judge(self.registry, repository, manifest)
        is_told = judged.lacks or judged.admission.state is AdmissionState.REJECTED
        return (PLUGIN_WITHHELD(reason=judged.admission.sentence),) if is_told else ()
