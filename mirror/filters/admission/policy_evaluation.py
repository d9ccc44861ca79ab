"""Evaluation of the policy for one plugin of a registry."""

from __future__ import annotations

from mirror.filters.admission.plugin_facts import PluginFacts
from mirror.filters.admission.signature_presence import is_signed
from mirror.oci import Digest, Manifest, Repository
from mirror.plugin.policy.admission_policy import Candidate, Policy, PolicyVerdict, unreadable
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.registry.port import Registry


async def evaluate(
    policy: Policy | None,
    registry: Registry,
    repository: Repository,
    manifest: Manifest,
    *,
    facts: PluginFacts,
    grown: tuple[RequestedPrivilege, ...],
) -> PolicyVerdict | None:
    """Evaluate the policy for a plugin.

    Args:
        policy: the rules; None: only an unreadable config is denied.
        registry, repository: where signatures are looked for.
        manifest, facts: the plugin.
        grown: privileges that the last admitted version does not ask for.

    Returns:
        The verdict; None where there is no policy, and the config can be read.
    """
    if policy is None:
        return unreadable(facts.config) if isinstance(facts.config, str) else None
    return policy.decide(
        Candidate(
            repository,
            _claimed_size_bytes(manifest),
            facts.config,
            facts.platform,
            policy.asks_for_signature and await is_signed(registry, repository, manifest.digest),
            grown,
        )
    )


def _claimed_size_bytes(manifest: Manifest) -> int:
    """The size in bytes of config and layers, as the manifest claims it: each digest once, with its largest size."""
    sizes: dict[Digest, int] = {}
    for blob in (manifest.config, *manifest.layers):
        if blob is not None:
            sizes[blob.digest] = max(blob.size_bytes, sizes.get(blob.digest, 0))
    return sum(sizes.values())
