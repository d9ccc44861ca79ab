"""Admission policy: rules, and the decision which plugins are let in. Pure.

The first rule that matches decides, as in a firewall: an exception stands above what it is excepted from, and a file
reads from top to bottom. A rule that only warns decides nothing, so that it cannot hide one that denies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from mirror.oci import Digest, Repository
from mirror.oci.name_pattern import NamePattern
from mirror.oci.printable_text import printable
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.policy.privilege_pattern import PrivilegePattern, RequestedPrivilege, describe_privilege
from mirror.plugin.rootfs.platform import Platform

#: Name of the rule that refuses what cannot be judged, and of the one that stands for the default.
UNREADABLE, DEFAULT = "unreadable", "default"
#: Things of one kind that a reason names.
_MOST_LISTED = 10


class PolicyAction(StrEnum):
    """The action on a plugin."""

    ALLOW = "allow"
    #: Let in, with a word about it.
    WARN = "warn"
    #: Stored, and not served until somebody approves it.
    HOLD = "hold"
    #: Neither stored nor served.
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that wants to be let in.

    Attributes:
        repository: where it goes, or is.
        size_bytes: of config and layers together.
        config: its configuration, or why nobody can know what engines will make of the plugin, in words that follow
            "cannot be judged:".
        platform: what it runs on; None where nothing tells, or no rule asks.
        signed: whether a signature refers to it, whoever made it; False also where no rule asks.
        grown: what it asks for that the last one let in did not.
    """

    repository: Repository
    size_bytes: int
    config: PluginConfig | str
    platform: Platform | None = None
    signed: bool = False
    grown: tuple[RequestedPrivilege, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Conditions that a plugin must all meet for the action to follow. Of each list, one entry is enough.

    Attributes:
        name: for people and programs.
        action: what follows.
        names: repositories.
        privileges: what it asks of a host.
        interfaces: types such as ``docker.authz``, globs; without a ``/``, of any version.
        platforms: what it runs on; None in it: that is not known.
        larger_than_bytes: config and layers together have more.
        signed: whether a signature is present. It is not verified.
        grown: whether it must ask for more than the last one that was let in under its name.
    """

    name: str
    action: PolicyAction
    names: tuple[NamePattern, ...] = ()
    privileges: tuple[PrivilegePattern, ...] = ()
    interfaces: tuple[str, ...] = ()
    platforms: tuple[Platform | None, ...] = ()
    larger_than_bytes: int | None = None
    signed: bool | None = None
    grown: bool = False

    def why(self, candidate: Candidate) -> str | None:
        """In what way a plugin meets the rule, in words that follow "it"; None where it does not."""
        reasons: list[str] = []
        for met in self._conditions(candidate):
            if met is None:
                return None
            reasons.append(met)
        return ", ".join(reasons) or "is a plugin"

    def _conditions(self, candidate: Candidate) -> Iterator[str | None]:
        """Of each condition that the rule has, how it is met; None: it is not."""
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
        if self.signed is not None:
            said = "is signed" if candidate.signed else "is not signed"
            yield said if candidate.signed is self.signed else None
        if self.grown:
            yield _listed("asks for more than the last one that was let in:", map(describe_privilege, candidate.grown))


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """A decision on a plugin.

    Attributes:
        action: what becomes of the plugin; ``warn`` where it is let in with a word.
        rule: the rule that decided, by name.
        reason: why, in words that follow "it".
        warnings: sentences of the rules that only warn.
    """

    action: PolicyAction
    rule: str
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules, in order.

    Attributes:
        rules: the rules.
        default: what follows where no rule decides.
    """

    rules: Sequence[PolicyRule] = ()
    default: PolicyAction = PolicyAction.ALLOW

    @property
    def fingerprint(self) -> str:
        """Digest of all that the rules say, and of the default: it tells this policy from every other one."""
        rules = [
            [
                rule.name,
                rule.action.value,
                [str(name) for name in rule.names],
                [[one.name, one.value] for one in rule.privileges],
                list(rule.interfaces),
                [platform and str(platform) for platform in rule.platforms],
                rule.larger_than_bytes,
                rule.signed,
                rule.grown,
            ]
            for rule in self.rules
        ]
        return Digest.of(json.dumps([rules, self.default.value]).encode()).hex

    @property
    def asks_for_growth(self) -> bool:
        """True where the decision may depend on what was let in before."""
        return any(rule.grown for rule in self.rules)

    @property
    def asks_for_platform(self) -> bool:
        """True where the decision may depend on it."""
        return any(rule.platforms for rule in self.rules)

    @property
    def asks_for_signature(self) -> bool:
        """True where the decision may depend on it."""
        return any(rule.signed is not None for rule in self.rules)

    def decide(self, candidate: Candidate) -> PolicyVerdict:
        """Decide on a plugin. One that cannot be read with certainty is denied, whatever the rules say."""
        if isinstance(candidate.config, str):
            return unreadable(candidate.config)
        warnings: list[str] = []
        for rule in self.rules:
            why = rule.why(candidate)
            if why is None:
                continue
            if rule.action is not PolicyAction.WARN:
                return _decided(rule.action, rule.name, why, warnings)
            warnings.append(f"{rule.name}: it {why}")
        if self.default is PolicyAction.WARN:
            warnings.append("no rule lets it in by name")
        return _decided(self.default, DEFAULT, "is let in by no rule", warnings)


def unreadable(why: str) -> PolicyVerdict:
    """Deny what cannot be read with certainty, with or without rules. `why` follows "cannot be judged:"."""
    return PolicyVerdict(PolicyAction.DENY, UNREADABLE, f"cannot be judged: {why}")


def _decided(action: PolicyAction, rule: str, reason: str, warnings: Sequence[str]) -> PolicyVerdict:
    if action is PolicyAction.ALLOW and warnings:
        action = PolicyAction.WARN
    return PolicyVerdict(action, rule, reason, tuple(warnings))


def _listed(what: str, found: Iterable[str]) -> str | None:
    listed = list(dict.fromkeys(found))
    more = f"; and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    return f"{what} {'; '.join(listed[:_MOST_LISTED])}{more}" if listed else None


def _is_kind(kind: str, wanted: str) -> bool:
    """Engines look for drivers by names in lower case; old ones mangle a type without a version, and find it or not."""
    kind = kind.lower()
    return fnmatchcase(kind if "/" in wanted else kind.partition("/")[0], wanted.lower())


def _platform(wanted: Iterable[Platform | None], platform: Platform | None) -> str | None:
    for each in wanted:
        if each is None and platform is None:
            return "does not say what it runs on"
        if each is not None and platform is not None and each.covers(platform):
            return f"is for {platform}"
    return None
