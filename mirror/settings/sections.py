"""The sections of the configuration. Each key has a description, which ``plugin-mirror config schema`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from mirror.access.certificates.client_identity import PREFIX
from mirror.access.rights import AccessAction
from mirror.access.rules import EVERY_USER, AccessRule
from mirror.settings.access_settings import AccessSettings, Groups
from mirror.settings.admission_settings import AdmissionSettings
from mirror.settings.audit_settings import AuditSettings
from mirror.settings.bundle_settings import BundleSettings
from mirror.settings.event_settings import EventSettings, check_names
from mirror.settings.mirror_settings import MirrorSettings
from mirror.settings.platform_tag_settings import PlatformTagSettings
from mirror.settings.pull_through_settings import ProxySettings, PullThroughSettings
from mirror.settings.section import Section
from mirror.settings.server.server_settings import ServerSettings
from mirror.settings.storage.quota_settings import QuotaSettings
from mirror.settings.storage.repository_settings import RepositorySettings
from mirror.settings.storage.storage_settings import StorageSettings
from mirror.settings.upstream_settings import UpstreamSettings

#: The action for which a user needs a rule, whatever a token of another server says.
_BESIDE: Final = frozenset({AccessAction.APPROVE})


class LogSettings(Section):
    """Settings of the log, which goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level that is logged: debug, info, warning or error"
    )
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="format of log lines; auto: console on a terminal, otherwise json"
    )


class Settings(Section):
    """The whole configuration."""

    server: ServerSettings = ServerSettings.model_construct()
    storage: StorageSettings = StorageSettings.model_construct()
    log: LogSettings = LogSettings.model_construct()
    offline: bool = Field(default=False, description="true: never open a connection to any upstream")
    # The name is the first component of from, and part of file names in the folder limits (ADR 7).
    upstreams: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")], UpstreamSettings] = Field(
        default_factory=dict, description="registries that content is fetched from, by name"
    )
    mirrors: tuple[MirrorSettings, ...] = ()
    proxy: tuple[ProxySettings, ...] = Field(
        (), description="repositories that are fetched on first pull; matching upstreams are asked in this order"
    )
    pull_through: PullThroughSettings = PullThroughSettings.model_construct()
    repositories: tuple[RepositorySettings, ...] = Field(
        (), description="retention of pushed tags, and immutable tags, by repository"
    )
    groups: Groups = Field(
        default_factory=dict,
        description="names for several users and clients with certificates, which rules under access: name as "
        "group:NAME, such as deployers: [anna, 'cert:CN=ci-*']",
    )
    access: tuple[AccessSettings, ...] = Field(
        (), description="rights of users, in addition to those of anonymous callers; one matching rule is enough"
    )
    quotas: tuple[QuotaSettings, ...] = Field(
        (), description="limits on the content of repositories and of users; a push must fit in each one that covers it"
    )
    platform_tags: tuple[PlatformTagSettings, ...] = Field(
        (),
        description="tags that give each engine the plugin for its platform; the first rule that covers a tag decides",
    )
    admission: AdmissionSettings = AdmissionSettings.model_construct()
    bundles: BundleSettings = BundleSettings.model_construct()
    audit: AuditSettings = AuditSettings.model_construct()
    events: tuple[EventSettings, ...] = Field((), description="endpoints that are told about changes")

    @model_validator(mode="after")
    def _rules_make_sense(self) -> Self:
        names = [rule.name for rule in self.mirrors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"mirrors: the name {min(twice)!r} is given to more than one rule")
        check_names(self.events)
        quotas = [section.quota().name for section in self.quotas]
        if twice := {name for name in quotas if quotas.count(name) > 1}:
            raise ValueError(f"quotas: there is more than one for {min(twice)}")
        for number, rule in enumerate(self.access, 1):
            if unknown := [name for name in rule.groups if name not in self.groups]:
                known = ", ".join(sorted(self.groups)) or "none"
                raise ValueError(f"access: rule {number}: no group is named {unknown[0]!r} (groups: {known})")
        if self.server.token_issuer is not None:
            self._require_rules_beside_issuer()
        if self.client_ca is None and (named := self._certificates()):
            where, name = named[0]
            raise ValueError(
                f"{where} names clients with the certificate {name}, and no client can show one; fix: set "
                "server.tls.client_ca to the CA that issues such certificates"
            )
        # A name without an upstream is reported at start, not when a tag is first asked for.
        for where, source in self._sources():
            upstream, slash, repository = source.partition("/")
            if not slash or not repository:
                raise ValueError(f"{where}: from: {source!r} is not UPSTREAM/REPOSITORY")
            if upstream not in self.upstreams:
                known = ", ".join(sorted(self.upstreams)) or "none"
                raise ValueError(f"{where}: from: no upstream is named {upstream!r} (upstreams: {known})")
        return self

    @property
    def client_ca(self) -> Path | None:
        """The file with the CAs of clients; None if clients show no certificates."""
        return None if self.server.tls is None else self.server.tls.client_ca

    @property
    def keeps_changes(self) -> bool:
        """True if changes have a reader: the audit, or an endpoint of events."""
        return self.audit.enabled or bool(self.events)

    def _require_rules_beside_issuer(self) -> None:
        """Refuse rules without an effect: the token issuer decides what users may do with content."""
        for number, rule in enumerate(self.access_rules, 1):
            # '*' means clients with certificates too, for whom the issuer does not decide.
            users = rule.users - {EVERY_USER} if self.client_ca else rule.users
            if users and (actions := [action.value for action in AccessAction if action in rule.actions - _BESIDE]):
                raise ValueError(
                    f"access: rule {number} gives {actions[0]} to {min(users)}, and with server.token_issuer tokens "
                    "decide about that; fix: let the issuer decide, and give users approve and nothing else"
                )

    @property
    def access_rules(self) -> list[AccessRule]:
        """The rules of ``access``, with the members of each group in place of the group."""
        return [section.rule(number, self.groups) for number, section in enumerate(self.access, 1)]

    def _certificates(self) -> list[tuple[str, str]]:
        """Return each name of certificates, with the place where it is."""
        places: list[tuple[str, Iterable[str]]] = [
            *((f"access: rule {number}", rule.users) for number, rule in enumerate(self.access, 1)),
            *((f"groups: {group}", members) for group, members in self.groups.items()),
            *((f"quotas: {section.user}", [section.user]) for section in self.quotas if section.user is not None),
        ]
        return [(where, name) for where, names in places for name in names if name.startswith(PREFIX)]

    def _sources(self) -> list[tuple[str, str]]:
        rules: list[tuple[str, str]] = [(f"mirrors: {rule.name}", rule.source) for rule in self.mirrors]
        return rules + [(f"proxy: rule {number}", rule.source) for number, rule in enumerate(self.proxy, 1)]

    def advice(self) -> list[str]:
        """Return sentences about settings that work, and should be changed all the same."""
        return [*self.server.advice(), *self.admission.advice()]

    def shown(self) -> dict[str, Any]:
        """Return the effective settings as plain values, with the keys of the configuration file."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
