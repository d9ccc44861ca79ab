"""Callers, and the registry as each sees it: the port through which a server tells callers apart."""

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
    """Somebody, for the length of a request.

    Attributes:
        name: of the user; None for nobody in particular.
        registry: as they see it: it refuses what they may not do.
        rights: what they may do now, with the token that they show.
        own_rights: what they may do in all, whatever the token is for.
    """

    name: str | None
    registry: Registry
    rights: Rights
    own_rights: Rights


@dataclass(frozen=True, slots=True)
class Granted:
    """A token as it is given.

    Attributes:
        token: what is to follow ``Bearer``.
        lifetime_seconds: how long it is good for.
        issued_at: from when on.
        user: whom it was given to; None for nobody in particular.
    """

    token: str
    lifetime_seconds: int
    issued_at: datetime
    user: str | None


class Callers(Protocol):
    """Knows callers. Where there are no users, nobody can be named."""

    async def known(self) -> bool:
        """Tell whether there are users."""
        ...

    async def by_token(self, token: str) -> Caller:
        """Find the caller that shows a token of :meth:`grant`.

        Raises:
            Unauthorized: it is none, has expired, or whom it was given to is no longer known.
        """
        ...

    async def by_login(self, login: Login, address: str) -> Caller:
        """Find the caller that gives a name and a password, or a token for machines.

        Args:
            login: the name and what proves it.
            address: where it comes from; whoever guesses is held up by it.

        Raises:
            Unauthorized: there is no such user, or the password is wrong.
            TooManyRequests: too many were wrong lately.
        """
        ...

    async def grant(
        self, scopes: Sequence[Scope], address: str, login: Login | None, identity_token: str | None
    ) -> Granted:
        """A token for as much of ``scopes`` as may be had; with neither login nor identity token, for nobody.

        Raises:
            Unauthorized, TooManyRequests: as :meth:`by_login`.
        """
        ...
