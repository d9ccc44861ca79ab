"""The authentication protocol, without any I/O (distribution token specification; RFC 6749, 7617).

:meth:`Authorizer.flow` is a generator. It yields the next step and receives the result of that step. The session does
the I/O, so tests can drive the same flow by hand.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cachetools import LRUCache

from mirror.oci.errors import ClientFault, UpstreamBusy, UpstreamProtocolError, UpstreamRefused
from mirror.runtime.clock import Clock
from mirror.upstream.auth.credentials import Credentials
from mirror.wire.auth import basic_auth, challenges
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.challenges import Challenge
from mirror.wire.auth.tokens import Token, password_form, refresh_form, token_url

# A token is not used in its last ten seconds, because the request itself takes time.
_MARGIN_SECONDS = 10.0
_MOST_KEPT = 1000
_MOST_ATTEMPTS = 3
# Bounds on challenges, which the upstream controls. Real servers send one or two.
_MOST_SCOPES = 32
_MOST_CHALLENGE_HEADERS = 8
_CLIENT = "docker-plugin-mirror"
# Statuses with which token servers reject POST, or this form of it. containerd falls back to GET for the same statuses.
_ASK_BY_GET = frozenset({400, 401, 404, 405})


@dataclass(frozen=True, slots=True)
class Attempt:
    """Instruction to send the request with this ``Authorization``."""

    authorization: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginRequired:
    """Instruction to provide the login: :class:`Credentials`, or None for an anonymous request."""


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
        challenges: values of ``WWW-Authenticate``, for an attempt only.
        body: the body, for a token request only.
        retry_after_seconds: pause requested by the token server, if any.
    """

    status: int
    challenges: Sequence[str] = ()
    body: bytes = field(default=b"", repr=False)
    retry_after_seconds: float | None = None


Step = Attempt | LoginRequired | TokenRequest
Sent = AuthReply | Credentials | None
Flow = Generator[Step, Sent, None]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Token server and scopes of a token request."""

    realm: str
    service: str | None
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    header: str = field(repr=False)
    expiry: float
    asking: _Asking


class Authorizer:
    """Authentication with one upstream: answers its challenges and caches its tokens until they expire.

    Args:
        name: name of the upstream, for errors.
        clock: determines the expiry of tokens.
        plain_http: True if a token server may be contacted without encryption.
    """

    def __init__(self, name: str, clock: Clock, *, plain_http: bool) -> None:
        self._name = name
        self._clock = clock
        self._plain_http = plain_http
        self._basic_wanted = False
        self._kept: LRUCache[tuple[str, ...], _Kept] = LRUCache(_MOST_KEPT)
        self._realm_of_get = ""

    def flow(self, scopes: tuple[str, ...]) -> Flow:
        """Authenticate one request. The flow ends when the answer to the last attempt is final.

        An expired token is replaced before the request is sent. The flow answers a challenge, and a second challenge if
        it asks for scopes that the first did not (``insufficient_scope``).

        Args:
            scopes: scopes of the request. If a challenge names other scopes, those are requested instead.

        Raises:
            UpstreamRefused: the token server does not issue a token.
            UpstreamBusy: the token server is busy.
            UpstreamProtocolError: the address or the answer of the token server is invalid.
        """
        authorization = yield from self._known(scopes)
        asked: set[str] | None = None
        for _ in range(_MOST_ATTEMPTS):
            reply = yield Attempt(authorization)
            if not isinstance(reply, AuthReply) or reply.status != 401:
                return
            offered = [
                challenge
                for header in reply.challenges[:_MOST_CHALLENGE_HEADERS]
                for challenge in challenges.parse(header)
            ]
            refused = authorization
            bearer = next((challenge for challenge in offered if challenge.scheme == "bearer"), None)
            if bearer is not None:
                # The same scopes again would get the same token, and the same refusal.
                wanted = _wanted(bearer, scopes, asked or ())
                if wanted == asked:
                    return
                asked = wanted
                authorization = yield from self._answer(bearer, scopes, wanted, refused)
            elif any(challenge.scheme == "basic" for challenge in offered):
                authorization = _basic((yield from _login()))
                self._basic_wanted = authorization is not None
                if authorization in {None, refused}:  # refused credentials are not sent twice
                    return
            else:
                return

    def _known(self, scopes: tuple[str, ...]) -> Generator[Step, Sent, str | None]:
        """Return the authorization that worked last time, or None."""
        if self._basic_wanted:
            return _basic((yield from _login()))
        kept = self._kept.get(scopes)
        if kept is not None and self._clock.monotonic_seconds() >= kept.expiry:
            return (yield from self._token(scopes, kept.asking))
        return kept.header if kept else None

    def _answer(
        self, challenge: Challenge, scopes: tuple[str, ...], wanted: set[str], refused: str | None
    ) -> Generator[Step, Sent, str]:
        # Another request may have received a token while this one waited for its refusal.
        kept = self._kept.get(scopes)
        if kept is not None and kept.header != refused and self._clock.monotonic_seconds() < kept.expiry:
            return kept.header
        self._kept.pop(scopes, None)
        realm = self._realm(challenge.parameters.get("realm", ""))
        asking = _Asking(realm, challenge.parameters.get("service"), tuple(sorted(wanted)))
        return (yield from self._token(scopes, asking))

    def _token(self, scopes: tuple[str, ...], asking: _Asking) -> Generator[Step, Sent, str]:
        self._kept.pop(scopes, None)
        login = yield from _login()
        reply = yield from self._replied(asking, login)
        server = f"upstream {self._name}: token server {urlsplit(asking.realm).netloc}"
        if reply.status == 429 or reply.status >= 500:
            seconds = reply.retry_after_seconds
            raise UpstreamBusy(
                f"{server} answered {reply.status}; fix: try again later",
                status=reply.status,
                **({} if seconds is None else {"retry_after_seconds": seconds}),
            )
        if reply.status != 200:
            who = f"{login.label}; fix: check the password" if login else "an anonymous request; fix: configure a login"
            raise UpstreamRefused(f"{server} answered {reply.status} to {who}", status=reply.status)
        try:
            token = Token.parse(reply.body)
        except ClientFault as error:
            raise UpstreamProtocolError(f"{server}: {error}") from error
        return self._keep(scopes, asking, token)

    def _replied(self, asking: _Asking, login: Credentials | None) -> Generator[Step, Sent, AuthReply]:
        """Send a token request: POST if there is a secret, or GET if there is none or the server rejects POST."""
        service, scopes = asking.service, asking.scopes
        if login is not None and login.identity_token:
            form = refresh_form(service, scopes, _CLIENT, login.identity_token)
            return (yield from _asked(TokenRequest(asking.realm, form=form)))
        if login is not None and asking.realm != self._realm_of_get:
            form = password_form(service, scopes, _CLIENT, login.username, login.password)
            reply = yield from _asked(TokenRequest(asking.realm, form=form))
            if reply.status not in _ASK_BY_GET:
                return reply
        url = token_url(asking.realm, service, scopes, login.username if login else None)
        reply = yield from _asked(TokenRequest(url, _basic(login)))
        if login is not None and reply.status == 200:
            self._realm_of_get = asking.realm  # the next token is requested by GET at once
        return reply

    def _keep(self, scopes: tuple[str, ...], asking: _Asking, token: Token) -> str:
        header = f"Bearer {token.value}"
        expiry = self._clock.monotonic_seconds() + token.lifetime_seconds - _MARGIN_SECONDS
        self._kept[scopes] = _Kept(header, expiry, asking)
        self._basic_wanted = False
        return header

    def _realm(self, realm: str) -> str:
        try:
            parts = urlsplit(realm)
            usable = bool(parts.hostname) and parts.username is None and not parts.fragment
        except ValueError:
            usable = False
        if not usable or parts.scheme not in {"https", "http"}:
            raise UpstreamProtocolError(
                f"upstream {self._name} names the token server {realm[:200]!r}, which is not a valid URL"
            )
        if parts.scheme == "http" and not self._plain_http:
            raise UpstreamProtocolError(
                f"upstream {self._name} names the token server {realm[:200]!r}, which is not encrypted, "
                "so no credentials are sent there; fix: set 'plain_http: true' for the upstream if this is intended"
            )
        return realm


def _login() -> Generator[Step, Sent, Credentials | None]:
    login = yield LoginRequired()
    return login if isinstance(login, Credentials) else None


def _asked(request: TokenRequest) -> Generator[Step, Sent, AuthReply]:
    reply = yield request
    return reply if isinstance(reply, AuthReply) else AuthReply(599)


def _wanted(challenge: Challenge, scopes: Iterable[str], asked: Iterable[str]) -> set[str]:
    """Return the scopes to request: those of the challenge, or else of the request, and all scopes requested before."""
    named = challenge.parameters.get("scope", "").split()[:_MOST_SCOPES]
    return {*(named or scopes), *asked}


def _basic(login: Credentials | None) -> str | None:
    if login is None or not login.username or not login.password:
        return None
    return basic_auth.build(Login(login.username, login.password))
