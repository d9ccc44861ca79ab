"""Callers of the server, and the port through which the server identifies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mirror.access.rights import Rights
from mirror.registry.port import Registry
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.scopes import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Client of the server for the length of one request.

    Attributes:
        name: user name; None for an anonymous caller.
        registry: registry as this caller sees it. Its methods refuse what the caller may not do.
        rights: rights for this request, limited to the scopes of the token if the caller presents one.
        own_rights: all rights of the caller, whatever the scopes of the token.
    """

    name: str | None
    registry: Registry
    rights: Rights
    own_rights: Rights


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


class Callers(Protocol):
    """Port that identifies callers and issues bearer tokens. Without users, every caller is anonymous."""

    async def known(self) -> bool:
        """Check whether any user exists."""
        ...

    async def by_token(self, token: str) -> Caller:
        """Return the caller who presents a token of :meth:`grant`.

        Raises:
            Unauthorized: the token is invalid or expired, or the login it was issued for is no longer valid.
        """
        ...

    async def by_login(self, login: Login, address: str) -> Caller:
        """Return the caller who logs in with a name and a password, or with an access token as the password.

        Args:
            login: user name and password.
            address: client address. Wrong passwords are counted by address, to slow down guessing.

        Raises:
            Unauthorized: the user does not exist or the password is wrong.
            TooManyRequests: the address sent too many wrong passwords lately.
        """
        ...

    async def grant(
        self, scopes: Sequence[Scope], address: str, login: Login | None, identity_token: str | None
    ) -> Granted:
        """Issue a token for those of the requested scopes that the caller may have.

        Args:
            scopes: requested scopes.
            address: client address, see :meth:`by_login`.
            login: user name and password.
            identity_token: secret of an access token. Without a login and an identity token, the token is anonymous.

        Raises:
            Unauthorized, TooManyRequests: see :meth:`by_login`.
        """
        ...
