"""Which plugins are let in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from mirror.oci.errors import MirrorError
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.admission_policy import DEFAULT, UNREADABLE, Policy, PolicyAction, PolicyRule
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, KnownEngines, Treatment
from mirror.plugin.policy.privilege_pattern import PrivilegePattern
from mirror.plugin.rootfs.platform import Platform
from mirror.settings.pull_through_settings import check_pattern
from mirror.settings.section import Section

#: Stands for a plugin that does not say what it runs on.
_UNKNOWN_PLATFORM = "unknown"


class AdmissionRuleSettings(Section):
    """A rule: what follows for plugins that meet all that it names. Of each list, one entry is enough."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="the rule's name, for messages")
    action: PolicyAction = Field(
        description="allow; warn: go on, and say so; hold: store it, and serve it once somebody approves it; deny"
    )
    names: tuple[Annotated[str, AfterValidator(check_pattern)], ...] = Field(
        (), description="repositories, with * and **"
    )
    privileges: tuple[str, ...] = Field(
        (),
        description="what it asks of a host, as engines name it, with a glob for the value or without: "
        "allow-all-devices, host pid namespace, host ipc namespace, network=host, mount=/run/docker.sock, "
        "device=/dev/*, capabilities=CAP_SYS_ADMIN",
    )
    interfaces: tuple[str, ...] = Field((), description="what it is to an engine, globs, such as docker.authz")
    platforms: tuple[str, ...] = Field((), description="what it runs on, such as linux/amd64; or unknown")
    larger_than_bytes: int | None = Field(None, ge=0, description="config and layers have more bytes together")
    signed: bool | None = Field(
        None, description="whether a signature is there; it is not verified, and nothing is said of who made it"
    )
    grown: bool = Field(
        default=False, description="it asks for more than the last plugin that was let in under its name"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.name in {DEFAULT, UNREADABLE}:
            raise ValueError(f"name: {self.name!r} is how messages call something else")
        if self.signed is False and self.action is PolicyAction.DENY:
            raise ValueError("signed: a signature is pushed after what it is of, so that cannot be denied: hold it")
        try:
            self.rule()
        except MirrorError as error:
            raise ValueError(str(error)) from error
        return self

    def rule(self) -> PolicyRule:
        """The rule.

        Raises:
            ConfigurationFault, NameInvalid: something is outside its grammar.
        """
        return PolicyRule(
            self.name,
            self.action,
            names=tuple(map(NamePattern, self.names)),
            privileges=tuple(map(PrivilegePattern.parse, self.privileges)),
            interfaces=self.interfaces,
            platforms=tuple(None if text == _UNKNOWN_PLATFORM else Platform.parse(text) for text in self.platforms),
            larger_than_bytes=self.larger_than_bytes,
            signed=self.signed,
            grown=self.grown,
        )


class AdmissionEngineSettings(Section):
    """What follows for engines with a known vulnerability in how they install plugins."""

    cve: Treatment = Field(
        Treatment.WARN,
        description=f"engines with {UNCOMPARED_PRIVILEGE.identifier}, by their User-Agent, and those whose version "
        "cannot be read: allow: count and list them; warn: name them in the log as well, once a day; "
        "refuse: give them no manifest of a plugin",
    )
    patched: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._+~:-]{1,64}$")], ...] = Field(
        (),
        description="versions, as docker version shows them, that your hosts have in a build that a distribution has "
        "patched: Debian's 26.1.5+dfsg1 reads the same with the fix and without",
    )

    def known(self) -> KnownEngines:
        """Which engines have it."""
        return KnownEngines(frozenset(self.patched))


class AdmissionSettings(Section):
    """Which plugins are let in, by pushes, mirror rules and pull-through."""

    rules: tuple[AdmissionRuleSettings, ...] = Field(
        (), description="the first that matches, and does not only warn, decides"
    )
    default: PolicyAction = Field(PolicyAction.ALLOW, description="what follows where no rule decides")
    token_file: Path | None = Field(
        None,
        description="file with a word (16 characters or more) that lets whoever sends it approve and reject by "
        "/api/v1/admission; users do that by their right to approve",
    )
    engines: AdmissionEngineSettings = Field(
        AdmissionEngineSettings(), description="engines with a known vulnerability in how they install plugins"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"rules: the name {min(twice)!r} is given to more than one rule")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anything may not be let in, or not without a word."""
        return bool(self.rules) or self.default is not PolicyAction.ALLOW

    def policy(self) -> Policy | None:
        """What decides; None where everything is let in."""
        return Policy([section.rule() for section in self.rules], self.default) if self.is_on else None
