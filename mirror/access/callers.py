"""Callers of the server, and the port through which the server identifies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.access.rights import Rights
from mirror.oci.errors import Denied
from mirror.registry.port import Registry
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.scopes import Scope


class CertificateRefused(Denied):
    """The client certificate of a connection is not good, or not any more. The connection is of no further use."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Client of the server for the length of one request.

    Attributes:
        name: user name, or the name of a client with a certificate: ``cert:CN=host-12``; None for an anonymous caller.
        registry: registry as this caller sees it. Its methods refuse what the caller may not do.
        rights: rights for this request, limited to the scopes of the token if the caller presents one.
        own_rights: all rights of the caller, whatever the scopes of the token.
        has_login: True if the caller has logged in as a user.
        proof: identifier of the password or access token of a login; empty without a login.
    """

    name: str | None
    registry: Registry
    rights: Rights
    own_rights: Rights
    has_login: bool = False
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Granted:
    """Bearer token that the server issued.

    Attributes:
        token: token to send after ``Bearer``.
        lifetime_seconds: validity of the token in seconds, counted from ``issued_at``.
        issued_at: time of issue, in UTC.
        user: name of the user the token was issued to; None for an anonymous token.
    """

    token: str
    lifetime_seconds: int
    issued_at: datetime
    user: str | None


class CallersByCertificate(Protocol):
    """Port that identifies callers by the certificates of their connections."""

    async def by_certificate(self, der: bytes) -> Caller:
        """Return the client with a certificate. It has the rights of anonymous callers, and those of the rules for it.

        Args:
            der: certificate that the handshake of TLS has verified.

        Raises:
            CertificateRefused: the certificate has expired or was revoked, or its CA is not trusted any more.
        """
        ...


class Callers(Protocol):
    """Port that identifies callers and issues bearer tokens. Without users, no caller has a login.

    The methods take the client that the certificate of the connection names, or None. Its rights replace those of
    anonymous callers: a login or a token adds to them.
    """

    async def known(self) -> bool:
        """Check whether any user exists."""
        ...

    async def by_token(self, token: str, client: Caller | None = None) -> Caller:
        """Return the caller who presents a token of :meth:`grant`.

        Raises:
            Unauthorized: the token is invalid or expired, or the login it was issued for is no longer valid.
        """
        ...

    async def by_login(self, login: Login, address: str, client: Caller | None = None) -> Caller:
        """Return the caller who logs in with a name and a password, or with an access token as the password.

        Args:
            login: user name and password.
            address: client address. Wrong passwords are counted by address, to slow down guessing.
            client: client with a certificate.

        Raises:
            Unauthorized: the user does not exist or the password is wrong.
            TooManyRequests: the address sent too many wrong passwords lately.
        """
        ...

    async def grant(
        self,
        scopes: Sequence[Scope],
        address: str,
        login: Login | None,
        identity_token: str | None,
        client: Caller | None = None,
    ) -> Granted:
        """Issue a token for those of the requested scopes that the caller may have.

        The token names no certificate. Rights by certificate come from the connection of each request.

        Args:
            scopes: requested scopes.
            address: client address, see :meth:`by_login`.
            login: user name and password.
            identity_token: secret of an access token. Without a login and an identity token, the token is anonymous.
            client: client with a certificate.

        Raises:
            Unauthorized, TooManyRequests: see :meth:`by_login`.
        """
        ...
