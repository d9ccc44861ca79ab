"""Evaluation of the admission policy for one plugin of a registry."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from mirror.filters.admission.plugin_facts import PluginFacts
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.plugin.policy.admission_policy import Candidate, Policy, PolicyVerdict, cooled, unreadable
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admission.arrivals import Arrivals
from mirror.registry.port import Registry
from mirror.signing.signature_formats import is_signature_artifact
from mirror.wire.pagination import PageRequest
from mirror.wire.referrers_fallback import fallback_tag

if TYPE_CHECKING:
    from mirror.signing.signature_verification import CheckedSignature

_FIRST_REFERRERS: Final = PageRequest(limit=1000)
#: A plugin whose signatures an upstream did not give is judged again after this time.
_AGAIN: Final = timedelta(minutes=1)


async def evaluate(
    policy: Policy | None,
    registry: Registry,
    repository: Repository,
    manifest: Manifest,
    *,
    facts: PluginFacts,
    grown: tuple[RequestedPrivilege, ...],
    arrivals: Arrivals,
    now: datetime,
) -> PolicyVerdict | None:
    """Evaluate the policy for a plugin.

    Args:
        policy: admission policy. None to deny only unreadable configs.
        registry: registry to search for signatures.
        repository: repository of the plugin.
        manifest: manifest of the plugin.
        facts: facts about the plugin.
        grown: requested privileges which the last admitted version did not request.
        arrivals: sources of plugins.
        now: the present time, in UTC.

    Returns:
        The verdict. None if there is no policy and the config can be read.
    """
    if policy is None:
        return unreadable(facts.config) if isinstance(facts.config, str) else None
    digest, keys = manifest.digest, policy.keys
    signatures: tuple[CheckedSignature, ...] = ()
    if keys:
        from mirror.registry.signature_reading import checked_signatures  # late: many policies have no keys

        signatures = await checked_signatures(registry, repository, digest, keys, now)
    names = await arrivals.names(repository, digest) if signatures else frozenset[Repository]()
    verdict = policy.decide(
        Candidate(
            repository,
            _claimed_size_bytes(manifest),
            facts.config,
            facts.platform,
            signed=policy.asks_for_signature and await _is_signed(registry, repository, digest),
            signatures=signatures,
            names=names | {repository},
            grown=grown,
        )
    )
    ends = [each.claim.expires_at for each in signatures if each.problem is None and each.claim is not None]
    if any(each.is_temporary for each in signatures):
        ends.append(now + _AGAIN)
    verdict = replace(verdict, until=min((end for end in ends if end is not None), default=None))
    if policy.cooldown is None or (sight := await arrivals.first_sight(repository, digest)) is None:
        return verdict
    is_new = now < sight.seen_at + policy.cooldown
    return cooled(verdict, sight.upstream, sight.seen_at, policy.cooldown) if is_new else verdict


def _claimed_size_bytes(manifest: Manifest) -> int:
    """Return the size of config and layers claimed by the manifest, in bytes.

    Each digest counts once, with its largest size.
    """
    sizes: dict[Digest, int] = {}
    for blob in (manifest.config, *manifest.layers):
        if blob is not None:
            sizes[blob.digest] = max(blob.size_bytes, sizes.get(blob.digest, 0))
    return sum(sizes.values())


async def _is_signed(registry: Registry, repository: Repository, digest: Digest) -> bool:
    """Return True if a manifest has a signature, either as a referrer or under the tag used by cosign.

    The signature is not verified, and its signer is not considered.
    """
    found = await registry.list_referrers(repository, digest, None, _FIRST_REFERRERS)
    if any(is_signature_artifact(referrer.artifact_type) for referrer in found.entries):
        return True
    try:
        await registry.resolve(repository, Tag(f"{fallback_tag(digest)}.sig"))
    except NotFound:
        return False
    return True
