"""Admission policy: rules, and the decision about each plugin. Pure.

The first matching rule decides, as in a firewall, so an exception stands above the rule that it limits. A rule that
only warns decides nothing, so it cannot hide a later rule that denies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mirror.oci import Digest, Repository
from mirror.oci.name_pattern import NamePattern
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.policy.policy_action import COOLDOWN, DEFAULT, UNREADABLE, PolicyAction
from mirror.plugin.policy.privilege_pattern import PrivilegePattern, RequestedPrivilege, describe_privilege
from mirror.plugin.rootfs.platform import Platform
from mirror.signing.signed_by import SignedBy

if TYPE_CHECKING:  # their libraries take a while, and few configurations have keys
    from mirror.signing.public_keys import PublicKey
    from mirror.signing.signature_verification import CheckedSignature

#: Most privileges or types that a reason names.
_MOST_LISTED = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that the policy decides about.

    Attributes:
        repository: repository of the plugin.
        size_bytes: size of config and layers together.
        config: configuration, or the reason why the plugin cannot be judged, as text after "cannot be judged:".
        platform: platform of the plugin; None if unknown, or if no rule asks.
        signed: True if a signature refers to the plugin, whoever made the signature. Also False if no rule asks.
        signatures: signatures that were verified with :attr:`Policy.keys`. Empty if no rule asks.
        names: names under which a signer may know the plugin.
        grown: privileges that the last admitted version did not ask for.
    """

    repository: Repository
    size_bytes: int
    config: PluginConfig | str
    platform: Platform | None = None
    signed: bool = False
    signatures: tuple[CheckedSignature, ...] = ()
    names: frozenset[Repository] = frozenset()
    grown: tuple[RequestedPrivilege, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """A rule: an action, and conditions that a plugin must all meet. One match in each list is enough.

    Attributes:
        name: name of the rule, for people and programs.
        action: action for plugins that meet the conditions.
        names: patterns of repositories.
        privileges: privileges that the plugin asks for.
        interfaces: globs of interface types such as ``docker.authz``. Without a ``/``, any version matches.
        platforms: platforms of the plugin. None in the list matches an unknown platform.
        larger_than_bytes: size of config and layers that the plugin must exceed.
        signed: keys that must have signed the plugin. Or True to match plugins with any signature, False to match those
            without; then the signature is not verified.
        grown: True to match plugins that ask for more than the last admitted version under the same name.
    """

    name: str
    action: PolicyAction
    names: tuple[NamePattern, ...] = ()
    privileges: tuple[PrivilegePattern, ...] = ()
    interfaces: tuple[str, ...] = ()
    platforms: tuple[Platform | None, ...] = ()
    larger_than_bytes: int | None = None
    signed: SignedBy | bool | None = None
    grown: bool = False

    def why(self, candidate: Candidate) -> str | None:
        """Return how a plugin meets the rule, as text after "it"; None if the plugin does not meet the rule."""
        reasons: list[str] = []
        for met in self._conditions(candidate):
            if met is None:
                return None
            reasons.append(met)
        return ", ".join(reasons) or "is a plugin"

    def lacks_signature(self, candidate: Candidate) -> str | None:
        """Return which signature a plugin lacks that meets all other conditions, as text after "it"; else None."""
        if not isinstance(self.signed, SignedBy) or replace(self, signed=None).why(candidate) is None:
            return None
        if self.signed.met(candidate.signatures, candidate.names) is not None:
            return None
        return self.signed.unmet(candidate.signatures, candidate.names)

    def _conditions(self, candidate: Candidate) -> Iterator[str | None]:
        """Yield a phrase for each condition that the rule has: how the plugin meets the condition, or None if not."""
        config = candidate.config
        if self.names:
            met = any(pattern.match(candidate.repository) is not None for pattern in self.names)
            yield f"is named {candidate.repository}" if met else None
        if self.privileges:
            asked = () if isinstance(config, str) else (p for each in self.privileges for p in each.matching(config))
            yield _listed("asks for", asked)
        if self.interfaces:
            types = () if isinstance(config, str) else config.interface.types
            met_types = (kind for kind in types if any(_is_kind(kind, each) for each in self.interfaces))
            yield _listed("has the interface", (printable(kind, 200) for kind in met_types))
        if self.platforms:
            yield _platform(self.platforms, candidate.platform)
        if self.larger_than_bytes is not None:
            size_bytes = candidate.size_bytes
            yield f"has {size_bytes} bytes" if size_bytes > self.larger_than_bytes else None
        if isinstance(self.signed, SignedBy):
            yield self.signed.met(candidate.signatures, candidate.names)
        elif self.signed is not None:
            said = "is signed" if candidate.signed else "is not signed"
            yield said if candidate.signed is self.signed else None
        if self.grown:
            yield _listed("requests more than the last accepted plugin:", map(describe_privilege, candidate.grown))


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """Decision about a plugin.

    Attributes:
        action: action on the plugin; ``warn`` if the plugin is admitted with warnings.
        rule: name of the rule that decided.
        reason: reason for the decision, as text after "it".
        warnings: sentences from the rules that only warn.
        until: time in UTC at which the plugin has to be judged again, because a signature expires; None for no such
            time.
    """

    action: PolicyAction
    rule: str
    reason: str = ""
    warnings: tuple[str, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules of a site, in order.

    Attributes:
        rules: rules in order.
        default: action if no rule decides.
        cooldown: time for which a plugin is held after it was first seen at an upstream; None for no such time.
    """

    rules: Sequence[PolicyRule] = ()
    default: PolicyAction = PolicyAction.ALLOW
    cooldown: timedelta | None = None

    @property
    def fingerprint(self) -> str:
        """Digest of all rules and of the default. Different policies have different fingerprints."""
        rules = [
            [
                rule.name,
                rule.action.value,
                [str(name) for name in rule.names],
                [[one.name, one.value] for one in rule.privileges],
                list(rule.interfaces),
                [platform and str(platform) for platform in rule.platforms],
                rule.larger_than_bytes,
                rule.signed.to_json() if isinstance(rule.signed, SignedBy) else rule.signed,
                rule.grown,
            ]
            for rule in self.rules
        ]
        # Verdicts are kept with this digest (ADR 20): another order of the fields would have every plugin judged again.
        # A policy without a cooldown keeps the digest that it had before there was one.
        cooldown = [] if self.cooldown is None else [self.cooldown.total_seconds()]
        return Digest.of(json.dumps([rules, self.default.value, *cooldown]).encode()).hex

    @property
    def asks_for_growth(self) -> bool:
        """True if the decision may depend on the version that was admitted before."""
        return any(rule.grown for rule in self.rules)

    @property
    def asks_for_platform(self) -> bool:
        """True if the decision may depend on the platform."""
        return any(rule.platforms for rule in self.rules)

    @property
    def asks_for_signature(self) -> bool:
        """True if the decision may depend on a signature that nobody has verified."""
        return any(isinstance(rule.signed, bool) for rule in self.rules)

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """Keys of all rules, each once. Empty if no decision depends on them."""
        found = (key for rule in self.rules if isinstance(rule.signed, SignedBy) for key in rule.signed.keys)
        return tuple(dict.fromkeys(found))

    def decide(self, candidate: Candidate) -> PolicyVerdict:
        """Decide about a plugin. A plugin that cannot be read with certainty is denied, whatever the rules say."""
        # Before all rules: no rule may admit a plugin that engines could read differently (ADR 16).
        if isinstance(candidate.config, str):
            return unreadable(candidate.config)
        warnings: list[str] = []
        unsigned: list[str] = []
        for rule in self.rules:
            why = rule.why(candidate)
            if why is None:
                if (lack := rule.lacks_signature(candidate)) is not None:
                    unsigned.append(f"the rule {rule.name!r} does not cover it, because it {lack}")
                continue
            if rule.action is not PolicyAction.WARN:
                return _decided(rule.action, rule.name, why, warnings)
            warnings.append(f"{rule.name}: it {why}")
        if self.default is PolicyAction.WARN:
            warnings.append("no rule allows it explicitly")
        reason = "; ".join(["is not allowed by any rule", *unsigned[:_MOST_LISTED]])
        return _decided(self.default, DEFAULT, reason, warnings)


def cooled(verdict: PolicyVerdict, upstream: str, seen_at: datetime, cooldown: timedelta) -> PolicyVerdict:
    """Return the verdict on a plugin during its cooldown: a plugin that would be admitted is held.

    Args:
        verdict: the verdict of the rules.
        upstream: name of the upstream that the plugin came from.
        seen_at: time in UTC at which it was first seen there.
        cooldown: time for which it is held.
    """
    if verdict.action not in {PolicyAction.ALLOW, PolicyAction.WARN}:
        return verdict
    end = seen_at + cooldown
    reason = f"was first seen at {upstream} on {machine_time(seen_at)}, and is new until {machine_time(end)}"
    return PolicyVerdict(PolicyAction.HOLD, COOLDOWN, reason, verdict.warnings, end)


def unreadable(why: str) -> PolicyVerdict:
    """Return the verdict that denies a plugin which cannot be read with certainty. Applies without rules, too.

    Args:
        why: reason, as text after "cannot be judged:".
    """
    return PolicyVerdict(PolicyAction.DENY, UNREADABLE, f"cannot be judged: {why}")


def _decided(action: PolicyAction, rule: str, reason: str, warnings: Sequence[str]) -> PolicyVerdict:
    """Return a verdict. An admitted plugin with warnings gets the action ``warn``."""
    if action is PolicyAction.ALLOW and warnings:
        action = PolicyAction.WARN
    return PolicyVerdict(action, rule, reason, tuple(warnings))


def _listed(what: str, found: Iterable[str]) -> str | None:
    """Return a phrase that lists the matches, cut after a fixed number; None if there are no matches."""
    listed = list(dict.fromkeys(found))
    more = f"; and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    return f"{what} {'; '.join(listed[:_MOST_LISTED])}{more}" if listed else None


def _is_kind(kind: str, wanted: str) -> bool:
    """Return True if an interface type matches a glob. Types are compared in lower case.

    Engines search drivers by lower-case names. Old engines change a type without a version, and may or may not find it.
    """
    kind = kind.lower()
    return fnmatchcase(kind if "/" in wanted else kind.partition("/")[0], wanted.lower())


def _platform(wanted: Iterable[Platform | None], platform: Platform | None) -> str | None:
    """Return how the platform meets a rule; None if no platform of the rule matches."""
    for each in wanted:
        if each is None and platform is None:
            return "is for an unknown platform"
        if each is not None and platform is not None and each.covers(platform):
            return f"is for {platform}"
    return None
