"""Judging plugins by a policy, and remembering how that went."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import structlog

from mirror.filters.platform_reading import read_platform
from mirror.oci.digest import Digest
from mirror.oci.errors import Denied, ManifestInvalid, NotFound, StorageFault
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.plugin.ambiguity import manifest_given_twice
from mirror.plugin.config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.platform import Platform
from mirror.plugin.policy import Action, Candidate, Policy, Verdict
from mirror.plugin.privilege_pattern import Asked, asked, growth, printable
from mirror.registry.admissions import Admission, Admissions
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers import fallback_tag

Key = TypeVar("Key")
Value = TypeVar("Value")

_LOG = structlog.get_logger(__name__)

#: Manifests of which it is kept what they are, and names under which it is kept how they stand.
_MOST_KEPT: Final = 1024
#: Largest config that is kept as it was read, in bytes; real ones have 1 to 10 KiB.
_MOST_KEPT_BYTES: Final = 64 * 1024
#: Things that a plugin may ask for and still be judged, and characters of them; real ones ask for some twenty.
_MOST_ASKED, _MOST_ASKED_CHARACTERS = 1000, 64 * 1024
_FIRST_REFERRERS: Final = PageRequest(limit=1000)

#: How the types of signatures begin, by those who make them: cosign, the same in its newer form, notation.
_SIGNATURES: Final = (
    "application/vnd.dev.cosign.artifact.sig.",
    "application/vnd.dev.sigstore.bundle.",
    "application/vnd.cncf.notary.signature",
)

#: Plugins whose layers are read at the same time. Each keeps a processor busy.
_READ_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a plugin is, whoever holds it."""

    config: PluginConfig | str
    asked: tuple[Asked, ...]
    platform: Platform | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What :meth:`Judge.judge` has found out.

    Attributes:
        admission: how the plugin stands.
        is_news: whether that is not what is remembered.
        generation: the count of changes that it was found out under; None: it is not to be kept.
    """

    admission: Admission
    is_news: bool
    generation: int | None


class Judge:
    """Judges the plugins of a registry.

    Args:
        registry: where configs and signatures are read.
        policy: what decides.
        ledger: remembers, for all processes.
        clock: tells when a plugin was first seen.
        counted: told of every decision.
    """

    def __init__(
        self,
        registry: Registry,
        policy: Policy,
        ledger: Admissions,
        clock: Clock,
        counted: Callable[[Action], None],
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._ledger = ledger
        self._clock = clock
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)
        self._counted = counted
        self._facts: OrderedDict[Digest, _Facts] = OrderedDict()
        self._unclear: OrderedDict[Digest, bool] = OrderedDict()
        self._known: OrderedDict[tuple[Repository, Digest], tuple[int, Admission]] = OrderedDict()

    def concerns(self, manifest: Manifest) -> bool:
        """Whether a manifest is a plugin's, or might be one to an engine."""
        if manifest.is_plugin:
            return True
        if manifest.config is None:
            return False
        unclear = self._unclear.get(manifest.digest)
        if unclear is None:
            unclear = manifest_given_twice(manifest.content) is not None
            _keep(self._unclear, manifest.digest, unclear)
        return unclear

    async def judge(self, repository: Repository, manifest: Manifest) -> Judged:
        """How a plugin stands now, by the policy and by what people decided. Nothing is written.

        Raises:
            BlobUnknown: its config is not in the repository. And what the registry raises.
        """
        generation = self._ledger.admission_generation
        recorded = await self._ledger.admission(repository, manifest.digest)
        facts = await self._read(repository, manifest)
        admission = recorded or Admission(repository, manifest.digest, self._clock.now())
        if admission.asked is None:
            # Once: what is let in later does not change what was new about this one.
            grown = await self._growth(repository, facts.asked)
            admission = replace(admission, asked=facts.asked, grown=grown)
        verdict = self._policy.decide(
            Candidate(
                repository,
                manifest.content_size_bytes,
                facts.config,
                facts.platform,
                self._policy.asks_for_signature and await self._is_signed(repository, manifest.digest),
                admission.grown,
            )
        )
        news = recorded is None or recorded.asked is None or not _says_the_same(recorded.verdict, verdict)
        return Judged(replace(admission, verdict=verdict), news, generation)

    async def note(self, judged: Judged) -> None:
        """Remember how a plugin stands; count it and tell of it, where that is news."""
        admission = judged.admission
        if judged.is_news:
            await self._ledger.note_verdict(admission)
            self.tell(admission)
        elif judged.generation is not None:
            _keep(self._known, (admission.repository, admission.digest), (judged.generation, admission))

    def tell(self, admission: Admission) -> None:
        """Count a decision, and log it where it is not simply that the plugin is let in."""
        verdict = admission.verdict
        if verdict is None:
            return
        self._counted(verdict.action)
        if verdict.action is not Action.ALLOW:
            _LOG.warning(
                "plugin judged",
                name=str(admission.repository),
                digest=str(admission.digest),
                action=verdict.action.value,
                state=admission.state.value,
                rule=verdict.rule,
                reason="; ".join([f"it {verdict.reason}", *verdict.warnings]),
            )

    async def require_served(self, repository: Repository, manifest: Manifest) -> None:
        """See to it that hosts may have a plugin.

        Raises:
            Denied: they may not; the message tells why, and what would have to be done.
        """
        admission = self._still(repository, manifest.digest)
        if admission is None:
            judged = await self.judge(repository, manifest)
            admission = judged.admission
            try:
                await self.note(judged)
            except StorageFault as error:  # the answer does not depend on it
                _LOG.error("a decision could not be recorded", error=str(error), **error.detail)
        if not admission.state.is_served:
            # Engines that speak plain HTTP to us show the error of their first try, which is one of TLS.
            told = {"name": str(repository), "digest": str(manifest.digest), "state": admission.state.value}
            _LOG.info("plugin withheld", **told, reason=admission.sentence)
            raise refusal(admission)

    def _still(self, repository: Repository, digest: Digest) -> Admission | None:
        """How a plugin stands, where nothing has changed since that was found out."""
        kept = self._known.get((repository, digest))
        return kept[1] if kept is not None and kept[0] == self._ledger.admission_generation else None

    async def _growth(self, repository: Repository, now: tuple[Asked, ...]) -> tuple[Asked, ...]:
        before = await self._ledger.last_admitted(repository)
        return () if before is None else growth(now, before)

    async def _is_signed(self, repository: Repository, digest: Digest) -> bool:
        """Whether a signature is there, whoever made it: as a referrer, or under the tag where cosign puts it."""
        found = await self._registry.list_referrers(repository, digest, None, _FIRST_REFERRERS)
        if any((referrer.artifact_type or "").startswith(_SIGNATURES) for referrer in found.entries):
            return True
        try:
            await self._registry.resolve(repository, Tag(f"{fallback_tag(digest)}.sig"))
        except NotFound:
            return False
        return True

    async def _read(self, repository: Repository, manifest: Manifest) -> _Facts:
        facts = self._facts.get(manifest.digest)
        if facts is None:
            config = await self._config(repository, manifest)
            wanted = () if isinstance(config, str) else await asyncio.to_thread(asked, config)
            if len(wanted) > _MOST_ASKED or sum(len(value) for _, value in wanted) > _MOST_ASKED_CHARACTERS:
                config, wanted = f"asks for more than is looked at ({len(wanted)} things)", ()
            platform = None
            if self._policy.asks_for_platform and not isinstance(config, str):
                async with self._reading:
                    platform = await read_platform(self._registry, repository, manifest, config)
            facts = _Facts(config, wanted, platform)
        if manifest.config is not None and manifest.config.size_bytes <= _MOST_KEPT_BYTES:
            _keep(self._facts, manifest.digest, facts)
        return facts

    async def _config(self, repository: Repository, manifest: Manifest) -> PluginConfig | str:
        if manifest.config is None:
            raise AssertionError("what is judged has a config")
        twice = manifest_given_twice(manifest.content)
        if twice is not None:
            return f"is not clear: the manifest has {printable(twice)} twice, which engines read in different ways"
        async with self._registry.open_blob(repository, manifest.config.digest) as blob:
            if blob.size_bytes > MAX_CONFIG_BYTES:
                return f"has more than {MAX_CONFIG_BYTES} bytes"
            content = b"".join([chunk async for chunk in blob])
        return await asyncio.to_thread(_parsed, content)


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    """Keep a value as the latest, and let go of the oldest one where there are too many."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)


def refusal(admission: Admission) -> Denied:
    """The error that tells a client why it may not have, or bring, a plugin."""
    verdict = admission.verdict
    return Denied(
        admission.sentence,
        name=admission.repository,
        digest=admission.digest,
        state=admission.state.value,
        rule="" if verdict is None else verdict.rule,
    )


def _parsed(content: bytes) -> PluginConfig | str:
    try:
        return PluginConfig.parse(content)
    except ManifestInvalid as error:
        return f"cannot be read ({printable(error.message)})"


def _says_the_same(one: Verdict | None, other: Verdict | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.action, one.rule, one.reason) == (other.action, other.rule, other.reason)
