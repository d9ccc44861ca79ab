"""The section ``server``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mirror.access.rights import AccessAction
from mirror.settings.access_values import check_anonymous, parse_actions
from mirror.settings.late_sections import late_section
from mirror.settings.section import Mistakes, PlaceBelow, Section
from mirror.settings.section_values import RepositoryPattern, TextForm
from mirror.settings.server.listen_address import HostPort
from mirror.settings.server.server_addresses import ListenAddress, ProxyNetwork, PublicUrl
from mirror.settings.server.server_limit_settings import ServerLimitSettings

if TYPE_CHECKING:
    from mirror.settings.server.server_tls_settings import PlainListenerSettings, ServerTlsSettings
    from mirror.settings.server.token_issuer_settings import TokenIssuerSettings
else:
    PlainListenerSettings = late_section("server.server_tls_settings:PlainListenerSettings")
    ServerTlsSettings = late_section("server.server_tls_settings:ServerTlsSettings")
    TokenIssuerSettings = late_section("server.token_issuer_settings:TokenIssuerSettings")

_NAMESPACE: Final = TextForm(
    r"^[a-z0-9.:\[\]-]{1,255}$", "is no name of a registry; fix: write its host in lower case, such as docker.io"
)


class ServerSettings(Section):
    """Settings of the HTTP server."""

    listen: ListenAddress = Field(HostPort("127.0.0.1", 5000), description="address to listen on, as HOST:PORT")
    tls: ServerTlsSettings | None = Field(None, description="certificates; omitted: the server speaks plain HTTP")
    plain: PlainListenerSettings | None = Field(
        None, description="a second address that speaks plain HTTP, beside one with TLS"
    )
    workers: int = Field(1, ge=1, le=256, description="number of processes that serve the port")
    anonymous: Annotated[
        tuple[AccessAction, ...] | None, BeforeValidator(parse_actions), AfterValidator(check_anonymous)
    ] = Field(
        None,
        description="actions of callers without credentials: pull, push, delete. "
        "Omitted: pull and push on a loopback address; required for any other address",
    )
    plugin_checks: Literal["enforce", "warn", "off"] = Field(
        "enforce",
        description="treatment of plugins, pushed or mirrored, that engines cannot install. "
        "enforce: refuse them; warn: accept them with a Warning header; off: do not check",
    )
    read_only: bool = Field(
        default=False,
        description="true: serve what the data folder holds and change nothing, for a snapshot or a read-only mount. "
        "Pushes and deletions get 405, no upstream is asked, and no mirror rule runs",
    )
    shutdown_seconds: float = Field(
        30, ge=0, le=86400, description="time that transfers have to finish at shutdown, in seconds"
    )
    limits: ServerLimitSettings = Field(
        ServerLimitSettings.model_construct(), description="limits for clients and layers"
    )
    namespaces: tuple[Annotated[str, _NAMESPACE], ...] = Field(
        (),
        description="registries that this server mirrors, such as docker.io. A request that names another one "
        "(?ns=, OCI-Namespace) gets 404. Omitted: every name is accepted",
    )
    reserved: tuple[RepositoryPattern, ...] = Field(
        (), description="names, with * and **, that are never requested from an upstream, such as acme/**"
    )

    logins: bool = Field(
        default=True,
        description="true: users may log in, if there are any. false: all callers are anonymous, which suits a mirror "
        "of docker.io whose hosts are logged in at Docker Hub",
    )
    token_issuer: TokenIssuerSettings | None = Field(
        None,
        description="another server that issues the bearer tokens; omitted: this server issues them to the users of "
        "the data folder",
    )
    url: PublicUrl | None = Field(
        None,
        description="URL of the server for clients, such as https://mirror.example or https://example.org/mirror; "
        "omitted: the host of each request",
    )
    trusted_proxies: tuple[ProxyNetwork, ...] = Field(
        (),
        description="addresses and networks of the proxies in front of the server, such as 10.1.2.3 or 10.0.0.0/8. "
        "X-Forwarded-For, -Proto, -Host and -Prefix are believed if they come from there, and ignored otherwise",
    )
    behind_proxy: bool = Field(
        default=False,
        description="deprecated, use trusted_proxies. true: every address counts as a trusted proxy",
    )

    @model_validator(mode="after")
    def _say_who_may_push(self) -> Self:
        # A plugin runs as root on every host that installs it, so whoever can push could take over the site. The
        # server refuses to start instead of logging a warning that nobody reads (ADR 5).
        if self.anonymous is None and not self.is_local:
            raise Mistakes(
                (
                    ("listen",) if not self.listen.is_loopback else ("plain", "listen"),
                    f"{self._public_address} can be reached from other hosts, and server.anonymous does not say what "
                    "anonymous callers may do; fix: write 'anonymous: [pull]' under server: to let everybody install, "
                    "or 'anonymous: [pull, push]' to let everybody push as well",
                )
            )
        return self

    @model_validator(mode="after")
    def _say_once_who_is_a_proxy(self) -> Self:
        if self.behind_proxy and self.trusted_proxies:
            raise Mistakes(
                (
                    ("behind_proxy",),
                    "trusts every address, so trusted_proxies has no effect; fix: remove behind_proxy",
                )
            )
        if self.behind_proxy and self.tls is not None and self.tls.client_ca is not None:
            raise Mistakes(
                (
                    ("behind_proxy",),
                    "takes every client for a proxy, so client certificates have no effect; fix: list the proxies "
                    "under trusted_proxies, and remove behind_proxy",
                )
            )
        return self

    @model_validator(mode="after")
    def _issued_tokens_are_logins(self) -> Self:
        if self.token_issuer is not None and not self.logins:
            raise Mistakes((("logins",), "switches off token_issuer too; fix: remove one of the two"))
        return self

    @model_validator(mode="after")
    def _plain_is_beside_tls(self) -> Self:
        if self.plain is not None and self.tls is None:
            raise Mistakes(
                (
                    ("plain",),
                    "is a second address beside one with TLS, and there is no tls; fix: remove plain, because "
                    "server.listen speaks plain HTTP, or add tls",
                )
            )
        if self.plain is not None and self.plain.listen == self.listen and self.listen.port:
            raise Mistakes((("plain", "listen"), "is the address with TLS, too; fix: write another port, such as 5080"))
        return self

    @property
    def is_local(self) -> bool:
        """True if only programs on this machine can reach the server."""
        return all(address.is_loopback for address in self.addresses)

    @property
    def addresses(self) -> list[HostPort]:
        """The addresses to listen on: ``listen``, and that of ``plain`` if it is configured."""
        return [self.listen, *([self.plain.listen] if self.plain else [])]

    @property
    def _public_address(self) -> HostPort:
        return next(address for address in self.addresses if not address.is_loopback)

    @property
    def anonymous_actions(self) -> frozenset[AccessAction]:
        """The actions that callers without credentials may perform."""
        return frozenset((AccessAction.PULL, AccessAction.PUSH) if self.anonymous is None else self.anonymous)

    def advice(self) -> list[tuple[PlaceBelow, str]]:
        """Return places and sentences about settings that work, and should be changed all the same."""
        forged = "any client that reaches the server directly could forge its address"
        if self.behind_proxy:
            fix = "list the addresses of the proxies under server.trusted_proxies, and remove behind_proxy"
            return [(("behind_proxy",), f"is deprecated: {forged}; fix: {fix}")]
        return [
            (
                ("trusted_proxies", number),
                f"{network} is every address: {forged}; fix: list the addresses of the proxies",
            )
            for number, network in enumerate(self.trusted_proxies)
            if network.prefixlen == 0
        ]
