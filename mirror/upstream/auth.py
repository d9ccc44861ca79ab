"""Authentication as a conversation, without any I/O (distribution token specification; RFC 7617).

:meth:`Authorizer.flow` is a generator: it yields what is to be sent and is sent what came back. The session does the
sending, so the same flow can be tested by hand, and carries another way to send.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mirror.oci.errors import ClientFault, UpstreamBusy, UpstreamLied, UpstreamRefused
from mirror.runtime.clock import Clock
from mirror.upstream.credentials import Credentials
from mirror.wire import challenges
from mirror.wire.challenges import Challenge
from mirror.wire.tokens import Token, token_url

# A token is not used in its last seconds: the request it goes with takes time as well.
_MARGIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send the request, with this ``Authorization``."""

    authorization: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """GET a token from here, with this ``Authorization``."""

    url: str
    authorization: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        status: the HTTP status.
        challenges: the values of ``WWW-Authenticate``; of an attempt only.
        body: the body; of a token request only.
    """

    status: int
    challenges: Sequence[str] = ()
    body: bytes = field(default=b"", repr=False)


class Authorizer:
    """Knows who we are to one upstream, and keeps its tokens until they expire.

    Args:
        name: the upstream's name, for errors.
        credentials: who we are; None: nobody.
        clock: tells when a token has expired.
        plain_http: whether a token server may be asked without encryption.
    """

    def __init__(self, name: str, credentials: Credentials | None, clock: Clock, *, plain_http: bool) -> None:
        self._name = name
        self._clock = clock
        self._plain_http = plain_http
        self._account = credentials.username if credentials else None
        self._basic = _basic(credentials) if credentials else None
        self._basic_wanted = False
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    def flow(self, scopes: tuple[str, ...]) -> Generator[Attempt | TokenRequest, Reply, None]:
        """The conversation for one request. It ends when the last attempt's answer is the answer.

        Args:
            scopes: what the request needs; a challenge may name others, which are then asked for instead.

        Raises:
            UpstreamRefused: the token server does not give us a token.
            UpstreamBusy: the token server is busy.
            UpstreamLied: its address or its answer cannot be true.
        """
        reply = yield Attempt(self._known(scopes))
        if reply.status != 401:
            return
        self._tokens.pop(scopes, None)
        offered = [challenge for header in reply.challenges for challenge in challenges.parse(header)]
        bearer = next((challenge for challenge in offered if challenge.scheme == "bearer"), None)
        if bearer is not None:
            request = self._token_request(bearer, scopes)
            token = self._token(request, (yield request))
            self._keep(scopes, token)
        elif any(challenge.scheme == "basic" for challenge in offered) and self._basic and not self._basic_wanted:
            self._basic_wanted = True
        else:
            return
        yield Attempt(self._known(scopes))

    def _known(self, scopes: tuple[str, ...]) -> str | None:
        if self._basic_wanted:
            return self._basic
        header, expiry = self._tokens.get(scopes, (None, 0.0))
        return header if self._clock.monotonic_seconds() < expiry else None

    def _keep(self, scopes: tuple[str, ...], token: Token) -> None:
        now = self._clock.monotonic_seconds()
        kept = {key: value for key, value in self._tokens.items() if now < value[1]}
        self._tokens = {**kept, scopes: (f"Bearer {token.value}", now + token.lifetime_seconds - _MARGIN_SECONDS)}
        self._basic_wanted = False

    def _token_request(self, challenge: Challenge, scopes: tuple[str, ...]) -> TokenRequest:
        realm = challenge.parameters.get("realm", "")
        try:
            parts = urlsplit(realm)
            usable = bool(parts.hostname) and parts.username is None and not parts.fragment
        except ValueError:
            usable = False
        if not usable or parts.scheme not in {"https", "http"}:
            raise UpstreamLied(f"upstream {self._name} names the token server {realm[:200]!r}, which is no URL")
        if parts.scheme == "http" and not self._plain_http:
            raise UpstreamLied(
                f"upstream {self._name} sends us to the token server {realm[:200]!r}, which is not encrypted: "
                "nothing secret is sent there; add 'plain_http: true' to the upstream if that is meant"
            )
        wanted = challenge.parameters.get("scope", "").split() or list(scopes)
        url = token_url(realm, challenge.parameters.get("service"), wanted, self._account)
        return TokenRequest(url, self._basic)

    def _token(self, request: TokenRequest, reply: Reply) -> Token:
        server = f"upstream {self._name}: token server {urlsplit(request.url).netloc}"
        if reply.status == 429 or reply.status >= 500:
            raise UpstreamBusy(f"{server} answered {reply.status} (it may pass: try again later)", status=reply.status)
        if reply.status != 200:
            who = f"user {self._account}: check the password" if self._account else "nobody in particular: give a login"
            raise UpstreamRefused(f"{server} answered {reply.status} to {who}", status=reply.status)
        try:
            return Token.parse(reply.body)
        except ClientFault as error:
            raise UpstreamLied(f"{server}: {error}") from error


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}"
    return f"Basic {b64encode(pair.encode()).decode()}"
