"""Admission controller: judges plugins by the policy and by decisions of people, and records the verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from mirror.filters.admission.known_admissions import KnownAdmissions
from mirror.filters.admission.plugin_facts import Examine, PluginFactsReader, late_layers
from mirror.filters.admission.plugin_fingerprints import Fingerprints
from mirror.filters.admission.policy_evaluation import evaluate
from mirror.filters.admission.verdict_messages import refusal, says_the_same, tell
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Digest, Manifest, Repository, errors
from mirror.plugin.policy import fingerprint
from mirror.plugin.policy.admission_policy import Policy
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, added_privileges
from mirror.records.admission.admissions import Admission, AdmissionOutcome, AdmissionState
from mirror.records.admission.verdicts import NO_POLICY, AdmissionRecords
from mirror.registry.port import Reader, Registry
from mirror.runtime.clock import Clock

_LOG = structlog.get_logger(__name__)

#: Earlier plugins of a repository judged first, so that a plugin can be compared with the last admitted one.
_MOST_BEFORE: Final = 64
#: Plugins judged when a blob named by them arrives. Others are judged when they are requested.
_MOST_AT_ONCE: Final = 16
#: Bytes of the manifests of these plugins. Real manifests have some KiB.
_MOST_BYTES_AT_ONCE: Final = 1024 * 1024


class AdmissionController:
    """Admission controller of a process, for plugins from any registry.

    With and without a policy, rejections are enforced, and plugins which cannot be read with certainty are denied.

    Args:
        policy: admission policy. None to admit everything else, without recording verdicts.
        records: records about plugins, shared by all processes.
        clock: source of the time at which a plugin was first seen.
        counted: called with the action of every verdict.
        layers: reader of layers for the whole process. None if no rule needs the content of layers.
        examine: checks layers pushed after their manifest. None if such layers need no check.

    Attributes:
        records, clock: see the arguments.
        policy_id: fingerprint of the policy.
        has_cooldown: True if the policy holds what is new from an upstream.
        asks_for_signatures: True if a verdict may depend on a signature.
    """

    def __init__(
        self,
        policy: Policy | None,
        records: AdmissionRecords,
        clock: Clock,
        counted: Callable[[PolicyAction], None],
        *,
        layers: SharedLayerReader | None = None,
        examine: Examine | None = None,
    ) -> None:
        self._policy = policy
        self.has_cooldown = policy is not None and policy.cooldown is not None
        self.asks_for_signatures = policy is not None and (bool(policy.keys) or policy.asks_for_signature)
        self.policy_id = NO_POLICY if policy is None else policy.fingerprint
        self.records = records
        self._verdicts, self._rejections, self._plugins = records.verdicts, records.rejections, records.plugins
        self.clock = clock
        self._counted = counted
        self._fingerprints = Fingerprints()
        asks_for_platform = policy is not None and policy.asks_for_platform
        self._reading = PluginFactsReader(layers if asks_for_platform else None, examine)
        self._known = KnownAdmissions(records.verdicts, clock)
        self._has_rejections: tuple[int, bool] | None = None

    async def judge(
        self, registry: Registry, repository: Repository, manifest: Manifest, *, comes_after: bool | None = None
    ) -> AdmissionOutcome:
        """Judge a plugin by the policy and by decisions of people. This call writes nothing for the plugin itself.

        If the policy has a rule about new privileges, plugins which came earlier under the name are judged and recorded
        first, unless this was done before.

        Args:
            registry: registry to read config, layers and signatures from.
            repository: repository of the plugin.
            manifest: manifest of the plugin.
            comes_after: True if another plugin came earlier, False if none did, None to find out.

        Raises:
            BlobUnknown, ManifestBlobUnknown: the repository lacks content which must be present.
            MirrorError: any error of the registry.
        """
        # Read the generation first: a change made while this plugin is judged makes the cached result invalid.
        generation = self._verdicts.admission_generation
        fingerprints = await self._fingerprints.of(registry, repository, manifest)
        known = await self._verdicts.admission(repository, manifest.digest, self.policy_id, fingerprints)
        facts = await self._reading.facts(registry, repository, manifest)
        admission = known or Admission(repository, manifest.digest, self.clock.now())
        if self._policy is not None and admission.asked is None and facts.asked is not None and not facts.lacks:
            # Once for each policy: the approval of a later version must not change the verdict on this one (ADR 16).
            grown = await self._growth(registry, repository, manifest.digest, facts.asked, comes_after=comes_after)
            admission = replace(admission, asked=facts.asked, grown=grown)
        verdict = await evaluate(
            self._policy,
            registry,
            repository,
            manifest,
            facts=facts,
            grown=admission.grown,
            arrivals=self.records.arrivals,
            now=self.clock.now(),
        )
        before = None if known is None else known.verdict
        is_other = not says_the_same(before, verdict)
        is_whole = known is not None and known.policy == self.policy_id and known.asked == admission.asked
        rejection = admission.rejection
        return AdmissionOutcome(
            replace(admission, verdict=verdict, policy=None if verdict is None else self.policy_id),
            lacks=facts.lacks,
            is_news=is_other or not (is_whole or verdict is None),
            is_told=is_other,
            uncovered=frozenset() if rejection is None else frozenset(fingerprints) - rejection.matched,
            generation=generation,
        )

    async def note(self, judged: AdmissionOutcome) -> None:
        """Record the outcome for a held plugin. If the verdict is new, also count and log it."""
        admission = judged.admission
        key = (admission.repository, admission.digest)
        if judged.uncovered and admission.rejection is not None:
            await self._rejections.extend_rejection(admission.rejection, {*judged.uncovered, str(admission.digest)})
        if judged.is_news and admission.verdict is None:
            await self._verdicts.forget_verdict(*key, self.policy_id)
        elif judged.is_news:
            await self._verdicts.note_verdict(admission, self.policy_id)
        elif judged.generation is not None:
            self._known.keep(judged.generation, admission)
        if judged.is_told:
            tell(admission, self._counted)

    async def assess(self, registry: Registry, repository: Repository, manifest: Manifest) -> Admission:
        """Judge a held plugin and record the outcome. Raises the errors of :meth:`judge`."""
        judged = await self.judge(registry, repository, manifest)
        await self.note(judged)
        return judged.admission

    async def fingerprints(self, registry: Reader, repository: Repository, manifest: Manifest) -> tuple[str, ...]:
        """Return all fingerprints of a plugin. See :meth:`Fingerprints.of`."""
        return await self._fingerprints.of(registry, repository, manifest)

    async def asked(
        self, registry: Reader, repository: Repository, manifest: Manifest
    ) -> tuple[RequestedPrivilege, ...] | None:
        """Return the privileges requested by a plugin. See :meth:`PluginFactsReader.asked`."""
        return await self._reading.asked(registry, repository, manifest)

    async def refuse(self, judged: AdmissionOutcome) -> errors.Denied:
        """Count and log the refusal of an incoming plugin, and return the error for the client."""
        rejection = judged.admission.rejection
        if rejection is not None and not any(map(fingerprint.is_content_fingerprint, rejection.matched)):
            # The plugin was rejected by digest before its content was here. From now on the rejection covers every
            # manifest with the same content.
            await self._rejections.extend_rejection(rejection, judged.uncovered)
        tell(judged.admission, self._counted)
        return refusal(judged.admission)

    async def withheld(self, registry: Registry, repository: Repository, manifest: Manifest) -> Admission | None:
        """Return the admission of a plugin withheld from hosts, or None if hosts may have the plugin.

        Raises:
            ManifestUnknown: see :meth:`admission`.
        """
        admission = await self.admission(registry, repository, manifest)
        return None if admission.state.is_served else admission

    async def admission(self, registry: Registry, repository: Repository, manifest: Manifest) -> Admission:
        """Return the admission of a plugin that is requested, and record it if it is news.

        Raises:
            ManifestUnknown: content which must be present is missing, so the plugin cannot be judged.
        """
        admission = self._known.find(repository, manifest.digest)
        if admission is None:
            try:
                judged = await self.judge(registry, repository, manifest)
            except (errors.BlobUnknown, errors.ManifestBlobUnknown) as error:
                raise errors.ManifestUnknown(
                    f"{repository}@{manifest.digest} is withheld, because it is incomplete here: {error}",
                    name=repository,
                    reference=manifest.digest,
                ) from error
            admission = judged.admission
            try:
                await self.note(judged)
            except errors.StorageFault as error:  # the answer to the client does not depend on the record
                _LOG.error("plugin verdict could not be recorded", error=str(error), **error.detail)
        return admission

    def is_known_served(self, repository: Repository, digest: Digest) -> bool:
        """Return True if memory tells that hosts may have a manifest. False says nothing."""
        return self._known.is_served(repository, digest)

    async def require_served(
        self, registry: Registry, repository: Repository, manifest: Manifest, *, shows_held: bool = False
    ) -> None:
        """Raise an error unless hosts may have a plugin, or it is only held and ``shows_held`` is true.

        Raises:
            Denied: hosts may not have the plugin. The message has the reason and the way to change the decision.
            ManifestUnknown: see :meth:`admission`.
        """
        admission = await self.withheld(registry, repository, manifest)
        if admission is not None and not (shows_held and admission.state is AdmissionState.HELD):
            # Over plain HTTP, engines show the TLS error of their first attempt, so the reason must be in the log.
            told = {"name": str(repository), "digest": str(manifest.digest), "state": admission.state.value}
            _LOG.info("plugin withheld", **told, reason=admission.sentence)
            raise refusal(admission)

    async def require_not_rejected(self, registry: Registry, repository: Repository, manifest: Manifest) -> None:
        """Raise an error if a manifest other than a plugin's was rejected. No rule applies to such manifests.

        Raises:
            Denied: a person has rejected the content, under any name.
        """
        # As long as there is no rejection, the answer comes from memory until the catalog changes.
        generation = self._verdicts.admission_generation
        if generation is None or self._has_rejections is None or self._has_rejections[0] != generation:
            found = await self._rejections.has_rejections()
            self._has_rejections = None if generation is None else (generation, found)
            if not found:
                return
        elif not self._has_rejections[1]:
            return
        admission = self._known.find(repository, manifest.digest)
        if admission is None:
            fingerprints = await self._fingerprints.of(registry, repository, manifest)
            known = await self._verdicts.admission(repository, manifest.digest, NO_POLICY, fingerprints)
            admission = known or Admission(repository, manifest.digest, self.clock.now())
            if generation is not None:
                self._known.keep(generation, admission)
        if admission.state is AdmissionState.REJECTED:
            raise refusal(admission)

    async def arrived(self, registry: Registry, repository: Repository, blob: Digest) -> None:
        """Judge the plugins which have waited for a blob. Failures are logged."""
        try:
            for digest in await self._plugins.plugins_naming(repository, blob, _MOST_AT_ONCE, _MOST_BYTES_AT_ONCE):
                manifest = await self._plugins.plugin(repository, digest)
                if manifest is not None and any(blob == late for _, late in late_layers(manifest)):
                    await self.assess(registry, repository, manifest)
        except errors.MirrorError as error:
            _LOG.warning("plugin not judged yet", name=str(repository), error=str(error), **error.detail)

    async def _growth(
        self,
        registry: Registry,
        repository: Repository,
        digest: Digest,
        now: tuple[RequestedPrivilege, ...],
        *,
        comes_after: bool | None,
    ) -> tuple[RequestedPrivilege, ...]:
        """Return the privileges requested by a plugin beyond the last plugin admitted under its name."""
        baseline = await self._verdicts.baseline(repository, digest, self.policy_id)
        asks_for_growth = self._policy is not None and self._policy.asks_for_growth
        if baseline.asked is None and asks_for_growth and comes_after is None:
            comes_after = await self._judge_before(registry, repository, digest)
            baseline = await self._verdicts.baseline(repository, digest, self.policy_id)
        if baseline.asked is not None:
            return added_privileges(now, baseline.asked)
        if not asks_for_growth:
            return ()
        # There is no admitted plugin to compare with. For the first plugin of a repository nothing is new. Otherwise
        # everything is new: the earlier plugins were not admitted, not by this policy, or cannot be read (ADR 20).
        is_first = not comes_after and (baseline.recorded is not None or not baseline.others_gone)
        return (baseline.recorded or ()) if is_first else now

    async def _judge_before(self, registry: Registry, repository: Repository, digest: Digest) -> bool:
        """Judge the plugins which came earlier under the same name, oldest first. Returns True if there are any.

        The oldest one counts as the first plugin for this policy, and the others come after it.
        """
        before = await self._plugins.plugins_before(repository, digest, _MOST_BEFORE)
        for earlier in before:
            manifest = await self._plugins.plugin(repository, earlier)
            if manifest is None:
                continue
            try:
                judged = await self.judge(registry, repository, manifest, comes_after=earlier != before[0])
            except (errors.NotFound, errors.ManifestBlobUnknown, errors.UpstreamFault):
                continue  # an incomplete plugin cannot be judged
            await self.note(judged)
        return bool(before)
