"""Logins with a password, or with the secret of an access token in place of the password."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache

from mirror.access.login_attempts import LoginAttempts
from mirror.access.login_metrics import LoginOutcome
from mirror.access.passwords import SECRET_PREFIX, PasswordChecks
from mirror.oci.errors import TooManyRequests, Unauthorized
from mirror.records.users import User, Users, is_user_name
from mirror.runtime.clock import Clock
from mirror.wire.auth.basic_auth import Login

_REMEMBERED_SECONDS: Final = 300.0
_MOST_REMEMBERED: Final = 1024


def new_secret() -> str:
    """Return the secret of a new access token."""
    return f"{SECRET_PREFIX}{secrets.token_urlsafe(32)}"


def secret_hash(secret: str) -> str:
    """Return the SHA-256 of a secret in hexadecimal, which is stored in place of the secret.

    A secret holds 256 random bits and cannot be guessed, so a fast hash is enough.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """User who has logged in.

    Attributes:
        user: user name.
        proof: identifier of the password or access token that proved the identity. The identifier does not reveal
            the secret.
    """

    user: str
    proof: str


class Logins:
    """Verifies logins.

    A right password is remembered for five minutes, as a hash under a random key of this process. An engine requests
    four tokens during an install, and each bcrypt check takes a fifth of a second. A remembered password is also
    accepted while the client address is rate limited because of other clients.

    Args:
        users: port that finds users and access tokens.
        checks: bcrypt checks of passwords.
        clock: source of the time.
        counted: called with the outcome of every login.
    """

    def __init__(
        self, users: Users, checks: PasswordChecks, clock: Clock, counted: Callable[[LoginOutcome], None]
    ) -> None:
        self._users = users
        self._checks = checks
        self._clock = clock
        self._counted = counted
        self._attempts = LoginAttempts(clock)
        self._key = secrets.token_bytes(32)
        self._right: TTLCache[bytes, None] = TTLCache(_MOST_REMEMBERED, _REMEMBERED_SECONDS, clock.monotonic_seconds)

    async def identify(self, login: Login, address: str) -> Identity:
        """Return the user with this name and password.

        Args:
            login: user name and password. The password may be the secret of an access token of this user.
            address: client address, by which wrong passwords are counted.

        Raises:
            Unauthorized: the name or password is wrong. An unknown user gets the same answer after the same time.
            TooManyRequests: the address sent too many wrong passwords lately.
            Busy: too many password checks are waiting.
        """
        if login.password.startswith(SECRET_PREFIX):
            return await self.identify_secret(login.password, address, login.username)
        # A name outside the grammar is not looked up: the cache keeps look-ups, and such a name may be long.
        user = await self._users.find_user(login.username) if is_user_name(login.username) else None
        mark = self._mark(login, user)
        if mark not in self._right:
            async with self._checks.turn():
                # Looked up again: another request may have had this password checked while this one waited.
                if mark not in self._right:
                    self._begin(address)
                    if not await self._checks.matches(login.password, user.password_hash if user else None):
                        raise self._wrong()
                    self._attempts.was_right(address)
                    self._right[mark] = None
        self._counted(LoginOutcome.PASSWORD)
        return Identity(login.username, _proof_of_password(user))

    async def identify_secret(self, secret: str, address: str, username: str | None = None) -> Identity:
        """Return the owner of the access token with this secret.

        Args:
            secret: secret of an access token.
            address: client address, by which wrong secrets are counted.
            username: user who must own the token; None accepts any owner.

        Raises:
            Unauthorized, TooManyRequests: see :meth:`identify`.
        """
        token = await self._users.find_token_by_secret(secret_hash(secret))
        if token is None or not token.is_good(self._clock.now()) or username not in {None, token.user}:
            self._begin(address)
            raise self._wrong()
        self._counted(LoginOutcome.TOKEN)
        return Identity(token.user, f"token:{token.id}")

    async def is_good(self, identity: Identity) -> bool:
        """Check whether the password or access token behind an identity is still valid."""
        kind, _, name = identity.proof.partition(":")
        if kind == "token":
            token = await self._users.find_token(name)
            return token is not None and token.user == identity.user and token.is_good(self._clock.now())
        user = await self._users.find_user(identity.user)
        return user is not None and _proof_of_password(user) == identity.proof

    def _begin(self, address: str) -> None:
        try:
            self._attempts.begin(address)
        except TooManyRequests:
            self._counted(LoginOutcome.RATE_LIMITED)
            raise

    def _wrong(self) -> Unauthorized:
        self._counted(LoginOutcome.WRONG)
        # One message for all causes: a client must not learn whether a user exists.
        return Unauthorized("user name or password is wrong, or the access token has expired or does not exist")

    def _mark(self, login: Login, user: User | None) -> bytes:
        # The stored hash is part of the mark, so that a changed password ends what is remembered.
        of_user = "" if user is None else user.password_hash
        text = "\0".join((of_user, login.username, login.password))
        return hmac.digest(self._key, text.encode(), "sha256")


def _proof_of_password(user: User | None) -> str:
    # Clients can read the proof in their bearer token, so it holds only a part of a hash of the bcrypt hash.
    return "" if user is None else f"password:{hashlib.sha256(user.password_hash.encode()).hexdigest()[:16]}"
