"""The authentication protocol, without any I/O (distribution token specification; RFC 7617).

:meth:`Authorizer.flow` is a generator. It yields the next step and receives the result of that step. The session does
the I/O, so tests can drive the same flow by hand.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

from cachetools import LRUCache

from mirror.oci.errors import UpstreamFault
from mirror.runtime.clock import Clock
from mirror.upstream.auth.auth_steps import (
    Attempt,
    AuthReply,
    ChallengeRequest,
    Flow,
    Sent,
    Step,
    replied,
    required_login,
)
from mirror.upstream.auth.token_client import TokenAsking, TokenClient, basic
from mirror.wire.auth import challenges
from mirror.wire.auth.challenges import Challenge

# A token is not used in its last ten seconds, because the request itself takes time.
_MARGIN_SECONDS = 10.0
_MOST_KEPT = 1000
# The longest reasonable exchange: a kept token, no token, the tokens of two token servers, and one with more scopes.
_MOST_ATTEMPTS = 5
# Bounds on challenges, which the upstream controls. Real servers send one or two.
_MOST_SCOPES = 32
_MOST_CHALLENGE_HEADERS = 8
_MOST_TOKEN_SERVERS = 4
# Statuses with which registries refuse an old token without a challenge. Amazon ECR answers 400 and 403.
_OUTDATED = frozenset({400, 401, 403})
# A younger token that gets 403 lacks a right. Replacing it would double every refused request.
_OLD_TOKEN_SECONDS = 60.0
# Statuses with which registries hide from anonymous clients what a login may see. Artifactory answers 404.
_HIDING = frozenset({401, 403, 404})
# Time for which the answer of ``/v2/`` is remembered. The configuration of an upstream may change later.
_CHALLENGES_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Kept:
    header: str = field(repr=False)
    since: float
    expiry: float
    asking: TokenAsking


class Authorizer:
    """Authentication with one upstream: answers its challenges and caches its tokens until they expire.

    Args:
        name: name of the upstream, for errors.
        clock: determines the expiry of tokens.
        plain_http: True if a token server may be contacted without encryption.
    """

    def __init__(self, name: str, clock: Clock, *, plain_http: bool) -> None:
        self._clock = clock
        self._tokens = TokenClient(name, plain_http=plain_http)
        self._basic_wanted = False
        self._kept: LRUCache[tuple[str, ...], _Kept] = LRUCache(_MOST_KEPT)
        self._accepted_realm = ""
        self._root_challenges: tuple[float, Sequence[Challenge]] | None = None

    def flow(self, scopes: tuple[str, ...], *, repeatable: bool = True) -> Flow:
        """Authenticate one request. The flow ends when the answer to the last attempt is final.

        - An expired token is replaced before the request is sent.
        - A kept token that is refused without a challenge is dropped, and the request is sent without it.
        - Several Bearer challenges are answered in turn, until a token is accepted.
        - A challenge that asks for more scopes (``insufficient_scope``) is answered with a token for all scopes.
        - With a login, an anonymous request that is refused without a challenge, or gets a 404, is answered with the
          challenge of ``/v2/``. This challenge is requested once in ten minutes.

        Args:
            scopes: scopes of the request. If a challenge names other scopes, those are requested instead.
            repeatable: False for a request that is sent again after a 401 only, because it may have had an effect.

        Raises:
            UpstreamRefused: no token server issues a token.
            UpstreamBusy: the token server is busy.
            UpstreamProtocolError: the address or the answer of the token server is invalid.
        """
        kept = self._valid(scopes)
        authorization = yield from self._known(scopes)
        asked: list[TokenAsking] = []
        for left in reversed(range(_MOST_ATTEMPTS)):
            reply = yield Attempt(authorization)
            if not isinstance(reply, AuthReply):
                return
            if asked and reply.status != 401:
                self._accepted_realm = asked[-1].realm
            if not left or (reply.status != 401 and not repeatable):
                return  # a token that no request would use is not requested
            offered = _offered(reply)
            if not offered and kept is not None and authorization == kept.header and self._is_outdated(kept, reply):
                authorization, kept = self._without(scopes, kept), None
                continue
            is_at_hand = True
            if not offered and authorization is None and reply.status in _HIDING:
                login = yield from required_login()
                if login is not None and not self._knows_root():
                    yield from self._ask_root()
                    is_at_hand = False
                offered = self._challenges_of_root() if login is not None else ()
            answered = (yield from self._answer(offered, scopes, asked, authorization)) if offered else None
            if answered is not None:
                authorization = answered
            elif is_at_hand:
                return
            # Otherwise the request is sent again, because its answer made room for that of ``/v2/``.

    def _known(self, scopes: tuple[str, ...]) -> Generator[Step, Sent, str | None]:
        """Return the authorization that worked last time, or None."""
        if self._basic_wanted:
            return basic((yield from required_login()))
        kept = self._kept.get(scopes)
        if kept is not None and self._clock.monotonic_seconds() >= kept.expiry:
            return (yield from self._token(scopes, kept.asking))
        return kept.header if kept else None

    def _valid(self, scopes: tuple[str, ...]) -> _Kept | None:
        kept = self._kept.get(scopes)
        return kept if kept is not None and self._clock.monotonic_seconds() < kept.expiry else None

    def _is_outdated(self, kept: _Kept, reply: AuthReply) -> bool:
        age_seconds = self._clock.monotonic_seconds() - kept.since
        return reply.status in _OUTDATED and (reply.status != 403 or age_seconds >= _OLD_TOKEN_SECONDS)

    def _without(self, scopes: tuple[str, ...], refused: _Kept) -> str | None:
        """Drop a refused token. Return the token that another request received meanwhile, or None."""
        if (newer := self._valid(scopes)) is not None and newer != refused:
            return newer.header
        self._kept.pop(scopes, None)
        return None

    def _knows_root(self) -> bool:
        return self._root_challenges is not None and self._clock.monotonic_seconds() < self._root_challenges[0]

    def _challenges_of_root(self) -> Sequence[Challenge]:
        return self._root_challenges[1] if self._root_challenges is not None else ()

    def _ask_root(self) -> Generator[Step, Sent, None]:
        """Request the challenges of ``/v2/`` and remember them. Their scopes are those of ``/v2/``, so they are cut."""
        reply = yield from replied(ChallengeRequest())
        offered = tuple(
            replace(challenge, parameters={k: v for k, v in challenge.parameters.items() if k != "scope"})
            for challenge in _offered(reply)
        )
        self._root_challenges = self._clock.monotonic_seconds() + _CHALLENGES_SECONDS, offered

    def _answer(
        self, offered: Sequence[Challenge], scopes: tuple[str, ...], asked: list[TokenAsking], refused: str | None
    ) -> Generator[Step, Sent, str | None]:
        """Return the ``Authorization`` that answers the challenges, or None if none is left to try.

        ``asked`` lists the token requests of this flow. The same request again would get the same token, and the same
        refusal.
        """
        bearers = [challenge for challenge in offered if challenge.scheme == "bearer"]
        if not bearers:
            authorization = basic((yield from required_login()))
            self._basic_wanted = authorization is not None
            return authorization if authorization != refused else None  # refused credentials are not sent twice
        bearers.sort(key=lambda challenge: challenge.parameters.get("realm") != self._accepted_realm)
        failure: UpstreamFault | None = None
        for challenge in bearers[:_MOST_TOKEN_SERVERS]:
            try:
                asking = self._asking(challenge, scopes, asked)
                if asking not in asked:
                    asked.append(asking)
                    return (yield from self._token_for(asking, scopes, refused))
            except UpstreamFault as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return None

    def _asking(self, challenge: Challenge, scopes: Iterable[str], asked: Iterable[TokenAsking]) -> TokenAsking:
        """Return the token request for a challenge: its scopes or else those of the request, and all asked before."""
        realm = self._tokens.realm(challenge)
        named = challenge.parameters.get("scope", "").split()[:_MOST_SCOPES]
        before = [scope for each in asked if each.realm == realm for scope in each.scopes]
        return TokenAsking(realm, challenge.parameters.get("service"), tuple(sorted({*(named or scopes), *before})))

    def _token_for(
        self, asking: TokenAsking, scopes: tuple[str, ...], refused: str | None
    ) -> Generator[Step, Sent, str]:
        # Another request may have received a token while this one waited for its refusal.
        if (kept := self._valid(scopes)) is not None and kept.header != refused:
            return kept.header
        return (yield from self._token(scopes, asking))

    def _token(self, scopes: tuple[str, ...], asking: TokenAsking) -> Generator[Step, Sent, str]:
        self._kept.pop(scopes, None)
        token = yield from self._tokens.token(asking)
        header = f"Bearer {token.value}"
        now = self._clock.monotonic_seconds()
        self._kept[scopes] = _Kept(header, now, now + token.lifetime_seconds - _MARGIN_SECONDS, asking)
        self._basic_wanted = False
        return header


def _offered(reply: AuthReply) -> Sequence[Challenge]:
    """Return the challenges of a 401 that can be answered."""
    if reply.status != 401:
        return ()
    headers = reply.challenges[:_MOST_CHALLENGE_HEADERS]
    found = [challenge for header in headers for challenge in challenges.parse(header)]
    return [challenge for challenge in found if challenge.scheme in {"bearer", "basic"}]
