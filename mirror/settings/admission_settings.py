"""The section ``admission``: the policy that decides which plugins are accepted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import Field, field_validator, model_validator

from mirror.oci.errors import MirrorError
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, KnownEngines, Treatment
from mirror.plugin.policy.policy_action import COOLDOWN, DEFAULT, UNREADABLE, PolicyAction
from mirror.settings.section import Mistakes, PlaceBelow, Section
from mirror.settings.section_values import (
    MOST_BYTES,
    Duration,
    FilePath,
    RepositoryPattern,
    RuleName,
    TextForm,
    checked_by,
)
from mirror.sync.schedule import parse_duration

if TYPE_CHECKING:  # imported where rules are built, because many commands have none
    from mirror.plugin.policy.admission_policy import Policy, PolicyRule
    from mirror.plugin.policy.privilege_pattern import PrivilegePattern
    from mirror.plugin.rootfs.platform import Platform
    from mirror.signing.public_keys import PublicKey
    from mirror.signing.signed_by import SignedBy

_LONGEST_COOLDOWN: Final = timedelta(days=3650)
#: Matches plugins whose platform cannot be determined.
_UNKNOWN_PLATFORM = "unknown"
_VERSION: Final = TextForm(
    r"^[A-Za-z0-9._+~:-]{1,64}$", "is no version of an engine; fix: write it as 'docker version' shows it"
)


def _privilege(text: str) -> PrivilegePattern:
    from mirror.plugin.policy.privilege_pattern import PrivilegePattern

    return PrivilegePattern.parse(text)


def _platform(text: str) -> Platform | None:
    from mirror.plugin.rootfs.platform import Platform

    return None if text == _UNKNOWN_PLATFORM else Platform.parse(text)


class SignedBySettings(Section):
    """Keys that must have signed a plugin."""

    by: tuple[FilePath, ...] = Field(
        min_length=1,
        max_length=16,
        description="files with public keys in PEM, such as cosign.pub: ECDSA, Ed25519 or RSA; read at the start",
    )
    threshold: int = Field(1, ge=1, le=16, description="number of these keys that must have signed")
    names: tuple[RepositoryPattern, ...] = Field(
        (),
        description="names under which the signers know the plugin, without a host, with * and **; besides its own "
        "name here, and its name at the source that it was mirrored, pulled or tagged from",
    )

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if len(set(self.by)) < len(self.by):
            raise Mistakes((("by",), "a file is named twice; fix: name it once"))
        if self.threshold > len(self.by):
            told = f"is more than there are keys; fix: name more keys under by, or write {len(self.by)}"
            raise Mistakes((("threshold",), told))
        return self

    def condition(self, keys: Mapping[Path, PublicKey]) -> SignedBy:
        """Return the condition, with those of its keys that could be read."""
        from mirror.signing.signed_by import SignedBy

        found = dict.fromkeys(keys[file] for file in self.by if file in keys)
        return SignedBy(tuple(found), self.threshold, tuple(map(NamePattern, self.names)))


class AdmissionRuleSettings(Section):
    """A rule with one action for all plugins that match every condition.

    If a condition is a list, one matching entry is enough.
    """

    name: RuleName = Field(description="name of the rule, shown in messages")
    action: PolicyAction = Field(
        description="allow; warn: allow with a warning; hold: store the plugin and serve it after an approval; deny"
    )
    names: tuple[RepositoryPattern, ...] = Field((), description="names of repositories, with * and **")
    privileges: tuple[Annotated[str, checked_by(_privilege)], ...] = Field(
        (),
        description="privileges that the plugin asks for, as engines name them, with or without a glob for the value: "
        "allow-all-devices, host pid namespace, host ipc namespace, network=host, mount=/run/docker.sock, "
        "device=/dev/*, capabilities=CAP_SYS_ADMIN",
    )
    interfaces: tuple[str, ...] = Field((), description="globs for interface types of the plugin, such as docker.authz")
    platforms: tuple[Annotated[str, checked_by(_platform)], ...] = Field(
        (), description="platforms of the plugin, such as linux/amd64; or unknown"
    )
    larger_than_bytes: int | None = Field(
        None, ge=0, le=MOST_BYTES, description="config and layers together are larger than this, in bytes"
    )
    signed: SignedBySettings | bool | None = Field(
        None,
        description="by: keys of which threshold must have signed. Or true: a signature exists, false: none exists; "
        "then no signature is verified",
    )
    grown: bool = Field(
        default=False,
        description="true: the plugin requests privileges that the last accepted plugin of its name did not have",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.name in {COOLDOWN, DEFAULT, UNREADABLE}:
            raise Mistakes((("name",), "has another meaning in messages; fix: choose another name"))
        if self.signed is False and self.action is PolicyAction.DENY:
            told = "a signature is pushed after its plugin, so its absence cannot be denied; fix: use action: hold"
            raise Mistakes((("signed",), told))
        # Built here once, so that a mistake is found when the configuration is read and not at the first plugin.
        try:
            self.rule({})
        except MirrorError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def is_about_names(self) -> bool:
        """True if the rule has no other conditions than names."""
        others = (self.privileges, self.interfaces, self.platforms, self.grown)
        return not any(others) and self.larger_than_bytes is None and self.signed is None

    def rule(self, keys: Mapping[Path, PublicKey]) -> PolicyRule:
        """Return the policy rule that this section describes.

        Args:
            keys: the keys in the files that could be read.

        Raises:
            ConfigurationFault, NameInvalid: a pattern, privilege or platform does not match its grammar.
        """
        from mirror.plugin.policy.admission_policy import PolicyRule

        return PolicyRule(
            self.name,
            self.action,
            names=tuple(map(NamePattern, self.names)),
            privileges=tuple(map(_privilege, self.privileges)),
            interfaces=self.interfaces,
            platforms=tuple(map(_platform, self.platforms)),
            larger_than_bytes=self.larger_than_bytes,
            signed=self.signed.condition(keys) if isinstance(self.signed, SignedBySettings) else self.signed,
            grown=self.grown,
        )


class AdmissionEngineSettings(Section):
    """Treatment of engines with a known vulnerability in how they install plugins."""

    # With warn, every installation that works today goes on working (ADR 21).
    cve: Treatment = Field(
        Treatment.WARN,
        description=f"engines whose User-Agent shows that they have {UNCOMPARED_PRIVILEGE.identifier}, or whose "
        "version cannot be read. allow: count and list them; warn: also log each one once a day; "
        "refuse: do not serve manifests of plugins to them",
    )
    patched: tuple[Annotated[str, _VERSION], ...] = Field(
        (),
        description="versions, as docker version shows them, of builds on your hosts that a distribution has patched: "
        "Debian's 26.1.5+dfsg1 shows the same version with and without the fix",
    )

    def known(self) -> KnownEngines:
        """Return the engines that are known to be affected, without the patched versions."""
        return KnownEngines(frozenset(self.patched))


class AdmissionSettings(Section):
    """Policy for plugins that come by pushes, mirror rules and pull-through."""

    # The first match decides and not the strictest rule, which would leave no room for exceptions. A rule that only
    # warns decides nothing, so that it cannot hide one that denies (ADR 16).
    rules: tuple[AdmissionRuleSettings, ...] = Field(
        (), description="the first matching rule whose action is not warn decides"
    )
    default: PolicyAction = Field(PolicyAction.ALLOW, description="action if no rule decides")
    cooldown: Duration | None = Field(
        None,
        description="time such as 7d for which a plugin that is new from an upstream is held, counted from when this "
        "mirror first saw its digest there; an approval ends it",
    )
    # The right to push would be the wrong one: whoever pushes a plugin must not approve it (ADR 16).
    token_file: FilePath | None = Field(
        None,
        description="file with a secret of 16 characters or more; a program that sends it may approve and reject "
        "plugins at /api/v1/admission; users need the right to approve instead",
    )
    engines: AdmissionEngineSettings = Field(
        AdmissionEngineSettings.model_construct(),
        description="engines with a known vulnerability in how they install plugins",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := {name for name in names if names.count(name) > 1}:
            second = len(names) - 1 - names[::-1].index(min(twice))
            raise Mistakes((("rules", second, "name"), "another rule has this name too; fix: choose another one"))
        return self

    @field_validator("cooldown")
    @classmethod
    def _cooldown_is_bounded(cls, text: str | None) -> str | None:
        if text is not None and parse_duration(text) > _LONGEST_COOLDOWN:
            raise ValueError(f"is too long; fix: write {_LONGEST_COOLDOWN.days}d or less")
        return text

    @model_validator(mode="after")
    def _signatures_can_come(self) -> Self:
        told = "a signature is pushed after its plugin, so with deny nothing comes that a rule with signed.by allows"
        waits = False
        for number, rule in enumerate(self.rules):
            if waits and rule.action is PolicyAction.DENY and rule.is_about_names:
                raise Mistakes((("rules", number, "action"), f"{told}; fix: use action: hold"))
            waits = waits or isinstance(rule.signed, SignedBySettings)
        if waits and self.default is PolicyAction.DENY:
            raise Mistakes((("default",), f"{told}; fix: use default: hold"))
        return self

    @property
    def is_on(self) -> bool:
        """True if the policy holds, denies or warns about any plugin, by a rule, by default, or as it is new."""
        return bool(self.rules) or self.default is not PolicyAction.ALLOW or self.cooldown is not None

    @property
    def signed_names(self) -> tuple[NamePattern, ...]:
        """Further names of all rules under which signers know plugins."""
        found = (name for rule in self.rules if isinstance(rule.signed, SignedBySettings) for name in rule.signed.names)
        return tuple(map(NamePattern, dict.fromkeys(found)))

    @property
    def key_files(self) -> tuple[Path, ...]:
        """Files with the keys of all rules, each once."""
        found = (file for rule in self.rules if isinstance(rule.signed, SignedBySettings) for file in rule.signed.by)
        return tuple(dict.fromkeys(found))

    def policy(self, keys: Mapping[Path, PublicKey]) -> Policy | None:
        """Return the policy, or None if every plugin is accepted.

        Args:
            keys: the keys in those of :attr:`key_files` that could be read.
        """
        if not self.is_on:
            return None
        from mirror.plugin.policy.admission_policy import Policy

        cooldown = None if self.cooldown is None else parse_duration(self.cooldown)
        return Policy([section.rule(keys) for section in self.rules], self.default, cooldown)

    def advice(self) -> list[tuple[PlaceBelow, str]]:
        """Return places and sentences about rules that work, and should be changed all the same."""
        told = (
            "true counts any signature and verifies none; fix: name the keys of the signers with signed: {by: [FILE]}"
        )
        return [(("rules", number, "signed"), told) for number, rule in enumerate(self.rules) if rule.signed is True]

    def places_of(self, file: Path) -> list[PlaceBelow]:
        """Return the places of rules that name a file with a key."""
        return [
            ("rules", number, "signed", "by", position)
            for number, rule in enumerate(self.rules)
            if isinstance(rule.signed, SignedBySettings)
            for position, named in enumerate(rule.signed.by)
            if named == file
        ]
