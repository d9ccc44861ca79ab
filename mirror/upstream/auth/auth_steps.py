"""Steps of an authentication flow and their results. Values without any I/O."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from mirror.upstream.auth.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Attempt:
    """Instruction to send the request with this ``Authorization``."""

    authorization: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginRequired:
    """Instruction to provide the login: :class:`Credentials`, or None for an anonymous request."""


@dataclass(frozen=True, slots=True)
class ChallengeRequest:
    """Instruction to request ``/v2/`` without ``Authorization``, for its challenges."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Instruction to get a token from ``url``: POST the form if there is one, else GET with this ``Authorization``."""

    url: str
    authorization: str | None = field(default=None, repr=False)
    form: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuthReply:
    """The parts of an answer that the authorizer needs.

    Attributes:
        status: the HTTP status.
        challenges: values of ``WWW-Authenticate``, not for a token request.
        body: the body, for a token request only.
        retry_after_seconds: pause requested by the token server, if any.
    """

    status: int
    challenges: Sequence[str] = ()
    body: bytes = field(default=b"", repr=False)
    retry_after_seconds: float | None = None


Step = Attempt | LoginRequired | ChallengeRequest | TokenRequest
Sent = AuthReply | Credentials | None
Flow = Generator[Step, Sent, None]


def required_login() -> Generator[Step, Sent, Credentials | None]:
    """Request the login. Return None for an anonymous request."""
    login = yield LoginRequired()
    return login if isinstance(login, Credentials) else None


def replied(request: TokenRequest | ChallengeRequest) -> Generator[Step, Sent, AuthReply]:
    """Send a request of the flow itself. Return the reply."""
    reply = yield request
    return reply if isinstance(reply, AuthReply) else AuthReply(599)
