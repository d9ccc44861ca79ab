"""The section ``admission``: the policy that decides which plugins are accepted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import Field, model_validator

from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, KnownEngines, Treatment
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.runtime.durations import parse_duration
from mirror.settings.late_sections import late_section
from mirror.settings.section import Mistakes, PlaceBelow, Section
from mirror.settings.section_values import DURATION_FORM, FilePath, TextForm, not_longer

if TYPE_CHECKING:
    from mirror.plugin.policy.admission_policy import Policy
    from mirror.settings.admission.admission_rule_settings import AdmissionRuleSettings
    from mirror.signing.public_keys import PublicKey
else:
    AdmissionRuleSettings = late_section("admission.admission_rule_settings:AdmissionRuleSettings")

_LONGEST_COOLDOWN_DAYS: Final = 3650
_VERSION: Final = TextForm(
    r"^[A-Za-z0-9._+~:-]{1,64}$", "is no version of an engine; fix: write it as 'docker version' shows it"
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
    cooldown: Annotated[str, DURATION_FORM, not_longer(_LONGEST_COOLDOWN_DAYS)] | None = Field(
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

    @model_validator(mode="after")
    def _signatures_can_come(self) -> Self:
        told = "a signature is pushed after its plugin, so with deny nothing comes that a rule with signed.by allows"
        waits = False
        for number, rule in enumerate(self.rules):
            if waits and rule.action is PolicyAction.DENY and rule.is_about_names:
                raise Mistakes((("rules", number, "action"), f"{told}; fix: use action: hold"))
            waits = waits or rule.signers is not None
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
        found = (name for rule in self.rules if rule.signers is not None for name in rule.signers.names)
        return tuple(map(NamePattern, dict.fromkeys(found)))

    @property
    def key_files(self) -> tuple[Path, ...]:
        """Files with the keys of all rules, each once."""
        found = (file for rule in self.rules if rule.signers is not None for file in rule.signers.by)
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
            if rule.signers is not None
            for position, named in enumerate(rule.signers.by)
            if named == file
        ]
