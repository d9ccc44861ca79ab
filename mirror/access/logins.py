"""Logging in: by password, or by a token for machines in its place."""

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
    """The secret of a new token for machines."""
    return f"{SECRET_PREFIX}{secrets.token_urlsafe(32)}"


def secret_hash(secret: str) -> str:
    """What is kept of a secret. It holds 256 random bits: nobody can guess it, so a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has logged in.

    Attributes:
        user: their name.
        proof: the password or token that proved it, by a name for it that tells nothing of it.
    """

    user: str
    proof: str


class Logins:
    """Says who it is that logs in.

    A password that was right is remembered for some minutes, as a hash under a key of this process: an engine asks for
    four tokens an install, and bcrypt takes a fifth of a second each time. What is remembered is also let through while
    others at the same address are held up for guessing.

    Args:
        users: who is known.
        checks: checks passwords.
        clock: tells the time.
        counted: told how every login ended.
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
        """Who gives that name and password.

        Args:
            login: the password may be the secret of a token of that user.
            address: where it comes from.

        Raises:
            Unauthorized: that is wrong; the same for a user who does not exist, and after the same time.
            TooManyRequests: too many from that address were wrong lately.
            Busy: too many passwords are being checked.
        """
        if login.password.startswith(SECRET_PREFIX):
            return await self.identify_secret(login.password, address, login.username)
        # What nobody can be called is not looked up: look-ups are remembered, and names may be long.
        user = await self._users.find_user(login.username) if is_user_name(login.username) else None
        mark = self._mark(login, user)
        if mark not in self._right:
            async with self._checks.turn():
                if mark not in self._right:
                    self._begin(address)
                    if not await self._checks.matches(login.password, user.password_hash if user else None):
                        raise self._wrong()
                    self._attempts.was_right(address)
                    self._right[mark] = None
        self._counted(LoginOutcome.PASSWORD)
        return Identity(login.username, _proof_of_password(user))

    async def identify_secret(self, secret: str, address: str, username: str | None = None) -> Identity:
        """Whose token has that secret; with a name, only if it is theirs. Raises as :meth:`identify`."""
        token = await self._users.find_token_by_secret(secret_hash(secret))
        if token is None or not token.is_good(self._clock.now()) or username not in {None, token.user}:
            self._begin(address)
            raise self._wrong()
        self._counted(LoginOutcome.TOKEN)
        return Identity(token.user, f"token:{token.id}")

    async def is_good(self, identity: Identity) -> bool:
        """Whether what proved it would still do so."""
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
        return Unauthorized("the name or the password is wrong, or the token is no longer good")

    def _mark(self, login: Login, user: User | None) -> bytes:
        of_user = "" if user is None else user.password_hash
        text = "\0".join((of_user, login.username, login.password))
        return hmac.digest(self._key, text.encode(), "sha256")


def _proof_of_password(user: User | None) -> str:
    return "" if user is None else f"password:{hashlib.sha256(user.password_hash.encode()).hexdigest()[:16]}"
