"""The sections of the configuration. Each key has a description, which ``plugin-mirror config schema`` prints."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from mirror.access.caller_names import CLIENT_PREFIX, EVERY_USER
from mirror.access.rights import AccessAction
from mirror.settings.access_values import GROUP_PREFIX, Groups
from mirror.settings.late_sections import defaults_of, late_section
from mirror.settings.section import Mistakes, PlaceBelow, Section
from mirror.settings.section_values import TextForm

if TYPE_CHECKING:
    from mirror.access.rules import AccessRule
    from mirror.settings.access_settings import AccessSettings
    from mirror.settings.admission.admission_settings import AdmissionSettings
    from mirror.settings.audit_settings import AuditSettings
    from mirror.settings.bundle_settings import BundleSettings
    from mirror.settings.event_settings import EventSettings
    from mirror.settings.mirror_settings import MirrorSettings
    from mirror.settings.platform_tag_settings import PlatformTagSettings
    from mirror.settings.pull_through_settings import ProxySettings, PullThroughSettings
    from mirror.settings.server.server_settings import ServerSettings
    from mirror.settings.storage.quota_settings import QuotaSettings
    from mirror.settings.storage.repository_settings import RepositorySettings
    from mirror.settings.storage.storage_settings import StorageSettings
    from mirror.settings.upstream_settings import UpstreamSettings
else:
    AccessSettings = late_section("access_settings:AccessSettings")
    AdmissionSettings = late_section("admission.admission_settings:AdmissionSettings")
    AuditSettings = late_section("audit_settings:AuditSettings")
    BundleSettings = late_section("bundle_settings:BundleSettings")
    EventSettings = late_section("event_settings:EventSettings")
    MirrorSettings = late_section("mirror_settings:MirrorSettings")
    PlatformTagSettings = late_section("platform_tag_settings:PlatformTagSettings")
    ProxySettings = late_section("pull_through_settings:ProxySettings")
    PullThroughSettings = late_section("pull_through_settings:PullThroughSettings")
    ServerSettings = late_section("server.server_settings:ServerSettings")
    QuotaSettings = late_section("storage.quota_settings:QuotaSettings")
    RepositorySettings = late_section("storage.repository_settings:RepositorySettings")
    StorageSettings = late_section("storage.storage_settings:StorageSettings")
    UpstreamSettings = late_section("upstream_settings:UpstreamSettings")

#: The action for which a user needs a rule, whatever a token of another server says.
_BESIDE: Final = frozenset({AccessAction.APPROVE})
_UPSTREAM: Final = TextForm(
    r"^[a-z0-9][a-z0-9._-]{0,63}$",
    "is no name of an upstream; fix: use at most 64 lower-case letters, digits and . _ -, such as hub",
)


_TWICE: Final = {
    "mirrors": "another rule has the name {!r} too; fix: choose another one",
    "events": "another endpoint is called {!r} too; fix: give each a name",
    "quotas": "there is more than one for {}; fix: put all limits into one",
}


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    others = f", or write one of {', '.join(sorted(known))}" if known else ""
    return f"no {kind} is named {name!r}; fix: add it under {kind}s:{others}"


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

    server: ServerSettings = defaults_of(ServerSettings)
    storage: StorageSettings = defaults_of(StorageSettings)
    log: LogSettings = LogSettings.model_construct()
    offline: bool = Field(default=False, description="true: never open a connection to any upstream")
    # The name is the first component of from, and part of file names in the folder limits (ADR 7).
    upstreams: dict[Annotated[str, _UPSTREAM], UpstreamSettings] = Field(
        default_factory=dict, description="registries that content is fetched from, by name"
    )
    mirrors: tuple[MirrorSettings, ...] = ()
    proxy: tuple[ProxySettings, ...] = Field(
        (), description="repositories that are fetched on first pull; matching upstreams are asked in this order"
    )
    pull_through: PullThroughSettings = defaults_of(PullThroughSettings)
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
    admission: AdmissionSettings = defaults_of(AdmissionSettings)
    bundles: BundleSettings = defaults_of(BundleSettings)
    audit: AuditSettings = defaults_of(AuditSettings)
    events: tuple[EventSettings, ...] = Field((), description="endpoints that are told about changes")

    @model_validator(mode="after")
    def _rules_make_sense(self) -> Self:
        if found := [*self._names_given_twice(), *self._unknown_names(), *self._rules_without_effect()]:
            raise Mistakes(*found)
        return self

    def _names_given_twice(self) -> Iterator[tuple[PlaceBelow, str]]:
        lists: dict[str, list[str]] = {
            "mirrors": [rule.name for rule in self.mirrors],
            "events": [section.shown_name for section in self.events],
            "quotas": [section.quota().name for section in self.quotas],
        }
        for key, names in lists.items():
            for number, name in enumerate(names):
                if name in names[:number]:
                    # The name of a quota is what it is for, and that of an endpoint may be the host of its URL.
                    place = (key, number, "name") if key == "mirrors" else (key, number)
                    yield place, _TWICE[key].format(name)

    def _unknown_names(self) -> Iterator[tuple[PlaceBelow, str]]:
        for number, rule in enumerate(self.access):
            for position, user in enumerate(rule.users):
                if (group := user.removeprefix(GROUP_PREFIX)) != user and group not in self.groups:
                    yield ("access", number, "users", position), _unknown("group", group, self.groups)
        # A name without an upstream is reported at start, not when a tag is first asked for.
        sources = [(("mirrors", number, "from"), rule.source) for number, rule in enumerate(self.mirrors)]
        sources += [(("proxy", number, "from"), rule.source) for number, rule in enumerate(self.proxy)]
        for place, source in sources:
            if (upstream := source.partition("/")[0]) not in self.upstreams:
                yield place, _unknown("upstream", upstream, self.upstreams)

    def _rules_without_effect(self) -> Iterator[tuple[PlaceBelow, str]]:
        if self.client_ca is None:
            told = "no client can show a certificate; fix: set server.tls.client_ca to the CA that issues them"
            yield from ((place, told) for place, name in self._users() if name.startswith(CLIENT_PREFIX))
        if self.server.token_issuer is not None and not list(self._unknown_names()):
            yield from self._rules_beside_issuer()

    @property
    def client_ca(self) -> Path | None:
        """The file with the CAs of clients; None if clients show no certificates."""
        return None if self.server.tls is None else self.server.tls.client_ca

    @property
    def keeps_changes(self) -> bool:
        """True if changes have a reader: the audit, or an endpoint of events."""
        return self.audit.enabled or bool(self.events)

    def _rules_beside_issuer(self) -> Iterator[tuple[PlaceBelow, str]]:
        """Yield rules without an effect: the token issuer decides what users may do with content."""
        for number, rule in enumerate(self.access_rules):
            # '*' means clients with certificates too, for whom the issuer does not decide.
            users = rule.users - {EVERY_USER} if self.client_ca else rule.users
            if users and (actions := [action.value for action in AccessAction if action in rule.actions - _BESIDE]):
                yield (
                    ("access", number, "actions"),
                    f"gives {actions[0]} to {min(users)}, and with server.token_issuer tokens decide about that; fix: "
                    "let the issuer decide, and give users approve and nothing else",
                )

    @property
    def access_rules(self) -> list[AccessRule]:
        """The rules of ``access``, with the members of each group in place of the group."""
        return [section.rule(number, self.groups) for number, section in enumerate(self.access, 1)]

    def _users(self) -> Iterator[tuple[PlaceBelow, str]]:
        """Yield each name of users or certificates, with its place."""
        lists: list[tuple[PlaceBelow, Sequence[str]]] = [
            *((("access", number, "users"), rule.users) for number, rule in enumerate(self.access)),
            *((("groups", group), members) for group, members in self.groups.items()),
        ]
        yield from (((*place, number), name) for place, names in lists for number, name in enumerate(names))
        for number, section in enumerate(self.quotas):
            if section.user is not None:
                yield ("quotas", number, "user"), section.user

    def advice(self) -> list[tuple[PlaceBelow, str]]:
        """Return places and sentences about settings that work, and should be changed all the same."""
        found: list[tuple[str, tuple[PlaceBelow, str]]] = [("server", each) for each in self.server.advice()]
        found += [("admission", each) for each in self.admission.advice()]
        return [((section, *place), sentence) for section, (place, sentence) in found]

    def shown(self) -> dict[str, Any]:
        """Return the effective settings as plain values, with the keys of the configuration file."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
