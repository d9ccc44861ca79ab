"""Judging plugins: what a policy says of them, what people decided, and remembering how that went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from mirror.filters.admission.plugin_facts import Examine, PluginFactsReader, late_layers
from mirror.filters.admission.plugin_fingerprints import Fingerprints
from mirror.filters.admission.policy_evaluation import evaluate
from mirror.filters.admission.verdict_messages import refusal, says_the_same, tell
from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Digest, Manifest, Repository, errors
from mirror.plugin.policy import fingerprint
from mirror.plugin.policy.admission_policy import Policy, PolicyAction
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, added_privileges
from mirror.records.admissions import Admission, AdmissionOutcome, AdmissionState
from mirror.records.verdicts import NO_POLICY, AdmissionRecords
from mirror.registry.port import Reader, Registry
from mirror.runtime.clock import Clock
from mirror.runtime.lru_cache import LruCache

_LOG = structlog.get_logger(__name__)

#: Plugins of a repository that are judged before another one of it, so that there is something to compare that with.
_MOST_BEFORE: Final = 64
#: Plugins that are looked at when a blob arrives that they name; others are when they are asked for.
_MOST_AT_ONCE: Final = 16
#: Bytes of their manifests: real ones have some KiB.
_MOST_BYTES_AT_ONCE: Final = 1024 * 1024
_MOST_KEPT: Final = 1024


class AdmissionController:
    """Judges plugins, for the whole process, whichever registry they are read from.

    Rejections are enforced, and what cannot be read with certainty is denied, with and without a policy.

    Args:
        policy: what decides. None: everything is let in, and nothing is kept for others to go by.
        records: what is remembered of plugins, for all processes.
        clock: tells when a plugin was first seen.
        counted: told of every decision.
        layers: reads layers, for the whole process; None: no rule asks for what stands in them.
        examine: looks at layers that came after their manifest; None: nobody wants to know.

    Attributes:
        records: as given.
        policy_id: fingerprint of the policy.
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
        self.policy_id = NO_POLICY if policy is None else policy.fingerprint
        self.records = records
        self._verdicts, self._rejections, self._plugins = records.verdicts, records.rejections, records.plugins
        self._clock = clock
        self._counted = counted
        self._fingerprints = Fingerprints()
        asks_for_platform = policy is not None and policy.asks_for_platform
        self._reading = PluginFactsReader(layers if asks_for_platform else None, examine)
        self._known: LruCache[tuple[Repository, Digest], tuple[int, Admission]] = LruCache(_MOST_KEPT)
        self._has_rejections: tuple[int, bool] | None = None

    async def judge(
        self, registry: Registry, repository: Repository, manifest: Manifest, *, comes_after: bool | None = None
    ) -> AdmissionOutcome:
        """Judge the standing of a plugin by the policy and by decisions of people. The call itself writes nothing.

        What came before it under its name is judged first, and noted, where that was not done yet and the policy asks
        what is new.

        Args:
            registry, repository: where its config, layers and signatures are read.
            manifest: the plugin.
            comes_after: whether another plugin came before it; None: that is to be found out.

        Raises:
            BlobUnknown, ManifestBlobUnknown: something that must be in the repository is not. And what it raises.
        """
        generation = self._verdicts.admission_generation
        fingerprints = await self._fingerprints.of(registry, repository, manifest)
        known = await self._verdicts.admission(repository, manifest.digest, self.policy_id, fingerprints)
        facts = await self._reading.facts(registry, repository, manifest)
        admission = known or Admission(repository, manifest.digest, self._clock.now())
        if self._policy is not None and admission.asked is None and facts.asked is not None and not facts.lacks:
            # Once: what is let in later does not change what was new about this one.
            grown = await self._growth(registry, repository, manifest.digest, facts.asked, comes_after=comes_after)
            admission = replace(admission, asked=facts.asked, grown=grown)
        verdict = await evaluate(self._policy, registry, repository, manifest, facts=facts, grown=admission.grown)
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
        """Remember how a plugin stands that is held; count it and tell of it, where that is news."""
        admission = judged.admission
        key = (admission.repository, admission.digest)
        if judged.uncovered and admission.rejection is not None:
            await self._rejections.extend_rejection(admission.rejection, {*judged.uncovered, str(admission.digest)})
        if judged.is_news and admission.verdict is None:
            await self._verdicts.forget_verdict(*key, self.policy_id)
        elif judged.is_news:
            await self._verdicts.note_verdict(admission, self.policy_id)
        elif judged.generation is not None:
            self._known.put(key, (judged.generation, admission))
        if judged.is_told:
            tell(admission, self._counted)

    async def assess(self, registry: Registry, repository: Repository, manifest: Manifest) -> Admission:
        """Judge a plugin that is held, and note the outcome. Raises as :meth:`judge` does."""
        judged = await self.judge(registry, repository, manifest)
        await self.note(judged)
        return judged.admission

    async def fingerprints(self, registry: Reader, repository: Repository, manifest: Manifest) -> tuple[str, ...]:
        """All fingerprints of a plugin, see :meth:`Fingerprints.of`."""
        return await self._fingerprints.of(registry, repository, manifest)

    async def asked(
        self, registry: Reader, repository: Repository, manifest: Manifest
    ) -> tuple[RequestedPrivilege, ...] | None:
        """Things that a plugin asks for, see :meth:`PluginFactsReader.asked`."""
        return await self._reading.asked(registry, repository, manifest)

    async def refuse(self, judged: AdmissionOutcome) -> errors.Denied:
        """The error for whoever brings a plugin that is not taken; counted and told of."""
        rejection = judged.admission.rejection
        if rejection is not None and not any(map(fingerprint.is_content_fingerprint, rejection.matched)):
            # It was rejected before its content was here: from now on every manifest of the same content is covered.
            await self._rejections.extend_rejection(rejection, judged.uncovered)
        tell(judged.admission, self._counted)
        return refusal(judged.admission)

    async def withheld(self, registry: Registry, repository: Repository, manifest: Manifest) -> Admission | None:
        """How a plugin stands that hosts may not have; None: they may.

        Raises:
            ManifestUnknown: something that must be here is not, so that nobody can know.
        """
        admission = self._still(repository, manifest.digest)
        if admission is None:
            try:
                judged = await self.judge(registry, repository, manifest)
            except (errors.BlobUnknown, errors.ManifestBlobUnknown) as error:
                raise errors.ManifestUnknown(
                    f"{repository}@{manifest.digest} is not given out, because it is not all here: {error}",
                    name=repository,
                    reference=manifest.digest,
                ) from error
            admission = judged.admission
            try:
                await self.note(judged)
            except errors.StorageFault as error:  # the answer does not depend on it
                _LOG.error("plugin verdict could not be recorded", error=str(error), **error.detail)
        return None if admission.state.is_served else admission

    async def require_served(self, registry: Registry, repository: Repository, manifest: Manifest) -> None:
        """See to it that hosts may have a plugin.

        Raises:
            Denied: they may not; the message tells why, and what would have to be done.
            ManifestUnknown: as for :meth:`withheld`.
        """
        admission = await self.withheld(registry, repository, manifest)
        if admission is not None:
            # Engines that speak plain HTTP to us show the error of their first try, which is one of TLS.
            told = {"name": str(repository), "digest": str(manifest.digest), "state": admission.state.value}
            _LOG.info("plugin withheld", **told, reason=admission.sentence)
            raise refusal(admission)

    async def require_not_rejected(self, registry: Registry, repository: Repository, manifest: Manifest) -> None:
        """See to it that nobody has rejected a manifest that is no plugin's: no rule is for those.

        Raises:
            Denied: somebody has, under whatever name.
        """
        generation = self._verdicts.admission_generation
        if generation is None or self._has_rejections is None or self._has_rejections[0] != generation:
            found = await self._rejections.has_rejections()
            self._has_rejections = None if generation is None else (generation, found)
            if not found:
                return
        elif not self._has_rejections[1]:
            return
        admission = self._still(repository, manifest.digest)
        if admission is None:
            fingerprints = await self._fingerprints.of(registry, repository, manifest)
            known = await self._verdicts.admission(repository, manifest.digest, NO_POLICY, fingerprints)
            admission = known or Admission(repository, manifest.digest, self._clock.now())
            if generation is not None:
                self._known.put((repository, manifest.digest), (generation, admission))
        if admission.state is AdmissionState.REJECTED:
            raise refusal(admission)

    async def arrived(self, registry: Registry, repository: Repository, blob: Digest) -> None:
        """Look at plugins that have waited for a blob, so that it is known how they stand. Failures are logged."""
        try:
            for digest in await self._plugins.plugins_naming(repository, blob, _MOST_AT_ONCE, _MOST_BYTES_AT_ONCE):
                manifest = await self._plugins.plugin(repository, digest)
                if manifest is not None and any(blob == late for _, late in late_layers(manifest)):
                    await self.assess(registry, repository, manifest)
        except errors.MirrorError as error:
            _LOG.warning("plugin not judged yet", name=str(repository), error=str(error), **error.detail)

    def _still(self, repository: Repository, digest: Digest) -> Admission | None:
        """How a plugin stands, where nothing has changed since that was found out."""
        kept = self._known.peek((repository, digest))
        return kept[1] if kept is not None and kept[0] == self._verdicts.admission_generation else None

    async def _growth(
        self,
        registry: Registry,
        repository: Repository,
        digest: Digest,
        now: tuple[RequestedPrivilege, ...],
        *,
        comes_after: bool | None,
    ) -> tuple[RequestedPrivilege, ...]:
        """What a plugin asks for beyond the last one that was let in under its name."""
        baseline = await self._verdicts.baseline(repository, digest, self.policy_id)
        asks_for_growth = self._policy is not None and self._policy.asks_for_growth
        if baseline.asked is None and asks_for_growth and comes_after is None:
            comes_after = await self._judge_before(registry, repository, digest)
            baseline = await self._verdicts.baseline(repository, digest, self.policy_id)
        if baseline.asked is not None:
            return added_privileges(now, baseline.asked)
        if not asks_for_growth:
            return ()
        # There is nothing to compare it with. To the first one nothing is new; else everything is, because what was
        # before was not let in, or not by this policy, or cannot be read.
        is_first = not comes_after and (baseline.recorded is not None or not baseline.others_gone)
        return (baseline.recorded or ()) if is_first else now

    async def _judge_before(self, registry: Registry, repository: Repository, digest: Digest) -> bool:
        """Judge what came before a plugin under its name, oldest first, and tell whether there is anything.

        The oldest is the first one to this policy, and the others come after it.
        """
        before = await self._plugins.plugins_before(repository, digest, _MOST_BEFORE)
        for earlier in before:
            manifest = await self._plugins.plugin(repository, earlier)
            if manifest is None:
                continue
            try:
                judged = await self.judge(registry, repository, manifest, comes_after=earlier != before[0])
            except (errors.NotFound, errors.ManifestBlobUnknown, errors.UpstreamFault):
                continue  # it is not all here
            await self.note(judged)
        return bool(before)
