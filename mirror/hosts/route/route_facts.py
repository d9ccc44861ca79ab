"""Facts about the way of a host to a registry, as an engine would find them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from mirror.hosts.engine_api import EngineInfo, EngineVersion
from mirror.hosts.insecure_registries import LOOPBACK, InsecureRegistries, may_use_http
from mirror.hosts.route.docker_files import DaemonFile, TrustFolder
from mirror.oci import Manifest, Reference
from mirror.oci.errors import NameInvalid
from mirror.oci.printable_text import printable, quoted
from mirror.runtime.error_advice import split_fix
from mirror.wire import error_body
from mirror.wire.error_body import ReceivedError

_AUTHORITY: Final = re.compile(r"(?:([A-Za-z0-9._-]+)|\[([0-9A-Fa-f:.%]+)\])(?::([0-9]{1,5}))?", re.ASCII)
#: Port of a reference that names none.
HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """A registry as references name it.

    Attributes:
        authority: ``HOST[:PORT]``.
        name: host name, or an IP address without brackets.
        port: the port; None if the authority names none.
    """

    authority: str
    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> RegistryPlace:
        """Parse ``HOST[:PORT]``.

        Raises:
            NameInvalid: the text has another form.
        """
        match = _AUTHORITY.fullmatch(text)
        port = None if match is None or match[3] is None else int(match[3])
        if match is None or (port is not None and not 0 < port <= 65535):
            raise NameInvalid(f"{quoted(text)} is not the address of a registry; fix: write HOST or HOST:PORT")
        return cls(text, match[1] or match[2], port)

    def port_for(self, *, plain: bool) -> int:
        """Return the port for HTTPS, or for plain HTTP."""
        return self.port or (HTTP_PORT if plain else HTTPS_PORT)


@dataclass(frozen=True, slots=True)
class EngineView:
    """The engine of the host.

    Attributes:
        address: address of the engine, for messages.
        version: its version; None if the engine could not be asked.
        info: its properties; None as for ``version``.
        problem: reason why the engine could not be asked; empty otherwise.
        is_expected: True if the user named the engine or it was here before, so that its absence is a problem.
        daemon: the file ``daemon.json``; None if the files of the engine's host cannot be seen from here.
        trust: certificates for the registry; None as for ``daemon``.
    """

    address: str
    version: EngineVersion | None = None
    info: EngineInfo | None = None
    problem: str = ""
    is_expected: bool = False
    daemon: DaemonFile | None = None
    trust: TrustFolder | None = None

    @property
    def insecure_networks(self) -> tuple[str, ...]:
        """Networks whose registries may use HTTP. The engine's own word counts more than its file."""
        settings: InsecureRegistries | None = self.info or self.daemon
        return LOOPBACK if settings is None else settings.insecure_networks

    @property
    def insecure_hosts(self) -> tuple[str, ...]:
        """Registries that may use HTTP, as for ``insecure_networks``."""
        settings: InsecureRegistries | None = self.info or self.daemon
        return () if settings is None else settings.insecure_hosts


@dataclass(frozen=True, slots=True)
class TcpAttempt:
    """An attempt to connect.

    Attributes:
        address: IP address.
        port: TCP port.
        problem: reason why there is no connection; empty if there is one.
    """

    address: str
    port: int
    problem: str = ""


class TlsOutcome(Enum):
    """Outcome of a TLS handshake with the certificates that an engine trusts."""

    VERIFIED = "verified"
    UNKNOWN_AUTHORITY = "unknown authority"
    WRONG_NAME = "wrong name"
    EXPIRED = "expired"
    #: The server did not answer with TLS, or broke off.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """Certificate that a server shows.

    Attributes:
        names: DNS names and IP addresses.
        issuer: name of the issuer.
        begins: begin of the validity.
        expires: end of the validity.
    """

    names: tuple[str, ...]
    issuer: str
    begins: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class TlsAnswer:
    """Answer of a server to a TLS handshake.

    Attributes:
        outcome: the outcome.
        version: version of the protocol; empty after a failure.
        why: reason of a failure.
        certificate: certificate of the server; None if the server showed none that can be read.
    """

    outcome: TlsOutcome
    version: str = ""
    why: str = ""
    certificate: ShownCertificate | None = None

    @property
    def is_tls(self) -> bool:
        """True if the server speaks TLS."""
        return self.outcome is not TlsOutcome.FAILED


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """Answer of a server to an HTTP request, or the reason why there is none.

    Attributes:
        status: HTTP status; 0 if there is no answer.
        headers: headers, with names in lower case.
        body: body, or its beginning.
        problem: reason why there is no answer; empty if there is one.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    problem: str = ""

    @property
    def errors(self) -> list[ReceivedError]:
        """Errors that a registry wrote into the body."""
        return error_body.parse(self.body)

    @property
    def reason(self) -> tuple[str, str]:
        """Words of the first error of the server, behind a colon, and the fix that it names; empty without them."""
        told, fix = split_fix(self.errors[0].message) if self.errors else ("", "")
        return f": {printable(told, 300)}" if told else "", printable(fix, 300)

    @property
    def is_page(self) -> bool:
        """True if the body is a page for people, so that the answer is not that of a registry."""
        return self.body.lstrip()[:1] == b"<"


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Answer of a token server, or of the registry to a login.

    Attributes:
        realm: URL of the token server; empty for a login at the registry itself.
        answer: the answer.
        username: user of the login; empty for an anonymous request.
    """

    realm: str
    answer: RouteAnswer
    username: str = ""


@dataclass(frozen=True, slots=True)
class ContentAnswers:
    """Answers about the content of a reference.

    Attributes:
        reference: the reference, with its host.
        manifest: answer to the request for the manifest.
        read: the manifest; None if it was not answered, or cannot be read.
        unreadable: reason why an answered manifest cannot be read.
        blobs: answers to requests for each blob, by digest.
        tags: tags of the repository, if the manifest was not found; None if they could not be listed.
    """

    reference: Reference
    manifest: RouteAnswer
    read: Manifest | None = None
    unreadable: str = ""
    blobs: Mapping[str, RouteAnswer] = field(default_factory=dict)
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """Everything that was found on the way to a registry. Facts that need an earlier step are None without it.

    Attributes:
        place: the registry.
        engine: engine of this host.
        addresses: IP addresses of the registry.
        unresolved: reason why its name has no address; empty otherwise.
        attempts: attempts to connect, to each address.
        tls: answer to a TLS handshake.
        plain: answer to ``GET /v2/`` over plain HTTP; None if TLS was spoken.
        api: answer to ``GET /v2/``, over TLS or plain HTTP, whichever the server speaks.
        token: answer of the token server.
        content: answers about the reference.
    """

    place: RegistryPlace
    engine: EngineView
    addresses: tuple[str, ...] = ()
    unresolved: str = ""
    attempts: tuple[TcpAttempt, ...] = ()
    tls: TlsAnswer | None = None
    plain: RouteAnswer | None = None
    api: RouteAnswer | None = None
    token: TokenAnswer | None = None
    content: ContentAnswers | None = None

    @property
    def may_use_http(self) -> bool:
        """True if the engine talks plain HTTP to the registry."""
        return may_use_http(self.engine, self.place.authority, self.addresses)

    @property
    def speaks_plain_http(self) -> bool:
        """True if the server answers HTTP where an engine tries TLS."""
        return self.plain is not None and self.plain.status > 0
