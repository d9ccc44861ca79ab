"""Requests to an upstream with authentication and redirects: the I/O of the authentication flow."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from functools import partial

from cachetools import LRUCache
from yarl import URL

from mirror.oci import errors
from mirror.runtime.clock import Clock
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.upstream.auth.auth_steps import (
    Attempt,
    AuthReply,
    ChallengeRequest,
    Flow,
    LoginRequired,
    Sent,
    Step,
    TokenRequest,
)
from mirror.upstream.auth.authorizer import Authorizer
from mirror.upstream.auth.credentials import Credentials
from mirror.upstream.auth.login_files import LoginSource
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.transport import Transport
from mirror.upstream.http.upstream_errors import redacted
from mirror.upstream.http.upstream_urls import UpstreamUrls
from mirror.wire import retry_after
from mirror.wire.auth.tokens import MAX_TOKEN_BODY_BYTES
from mirror.wire.routes import PingRoute

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# Redirects choose the hosts, so the number of remembered hosts is bounded.
_MOST_HOSTS = 64


class AuthorizedSender:
    """A sender that follows redirects and authenticates with each host on the way.

    ``Authorization`` is sent only to the origin that it is for. The login belongs to the upstream's own origin. Another
    registry, to which the upstream redirects, gets an anonymous token if it asks for one.

    Args:
        name: name of the upstream in the configuration.
        addresses: addresses of the upstream.
        transport: sends requests to single hosts.
        login: source of the credentials; None: anonymous.
        clock: determines the age of tokens.
        plain_http: True if a token server may be contacted without encryption.
    """

    def __init__(
        self,
        *,
        name: str,
        addresses: UpstreamUrls,
        transport: Transport,
        login: LoginSource | None,
        clock: Clock,
        plain_http: bool,
    ) -> None:
        self._name = name
        self._addresses = addresses
        self._transport = transport
        self._login = login
        self._clock = clock
        self._new_authorizer = partial(Authorizer, name, clock, plain_http=plain_http)
        self._own_authorizer = self._new_authorizer()
        self._foreign_authorizers: LRUCache[URL, Authorizer] = LRUCache(_MOST_HOSTS)
        self._requests: SharedTasks[TokenRequest | ChallengeRequest, AuthReply] = SharedTasks()

    @property
    def login_label(self) -> str | None:
        """The user or the source of the login, for messages. None if requests are anonymous."""
        return None if self._login is None else self._login.label

    async def send(self, request: Request) -> Answer:
        """Send a request and return the final answer, whatever its status, which the caller must close.

        Redirects are followed for reads only, at most five, and never from https to http.

        Raises:
            UpstreamFault: no answer, no token, or an invalid redirect.
        """
        return await self._redirected(
            request, self._addresses.absolute(request.url), partial(self._authenticated, request)
        )

    async def _redirected(self, request: Request, url: URL, send: Callable[[URL], Awaitable[Answer]]) -> Answer:
        first = url
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await send(url)
            if answer.status not in _REDIRECTS:
                return answer
            answer.close()
            url = self._redirect_target(request, answer, url)
        raise self._transport.count_failure(
            errors.UpstreamProtocolError(
                f"upstream {self._name}: {request.method} {redacted(first)} is redirected too often",
                upstream=self._name,
            )
        )

    async def _authenticated(self, request: Request, url: URL) -> Answer:
        own = url.origin() == self._addresses.base
        flow = self._authorizer(url).flow(request.scopes, repeatable=request.may_repeat)
        answer: Answer | None = None
        try:
            step = next(flow)
            while True:
                if answer is not None and not isinstance(step, LoginRequired):
                    answer.close()
                if not isinstance(step, Attempt):
                    step = self._next(flow, await self._outcome(step, own=own))
                    continue
                answer = await self._transport.exchange(request, url, step.authorization)
                sent = AuthReply(answer.status, answer.all_of("WWW-Authenticate"))
                if isinstance(request.body, AsyncIterable):
                    # A streamed body cannot be sent again. The flow only learns that its token was refused.
                    with suppress(StopIteration, errors.UpstreamFault):
                        flow.send(sent)
                    return answer
                step = self._next(flow, sent)
        except StopIteration:
            if answer is None:
                raise RuntimeError("the authentication flow ended before the first request") from None
            return answer
        except BaseException:
            if answer is not None:
                answer.close()
            raise

    def _authorizer(self, url: URL) -> Authorizer:
        host = url.origin()
        if host == self._addresses.base:
            return self._own_authorizer
        if host not in self._foreign_authorizers:
            self._foreign_authorizers[host] = self._new_authorizer()
        return self._foreign_authorizers[host]

    async def _outcome(self, step: Step, *, own: bool) -> Sent | errors.UpstreamFault:
        """Take a step other than an attempt. Return its result, or the error, because another token server may help."""
        try:
            match step:
                case TokenRequest():
                    return await self._requests.run(step, partial(self._request_token, step))
                case ChallengeRequest():
                    return await self._requests.run(step, self._request_challenges)
                case _:
                    # No other host learns the login.
                    return await self._current_login() if own else None
        except errors.UpstreamFault as fault:
            return fault

    def _next(self, flow: Flow, sent: Sent | errors.UpstreamFault) -> Step:
        if isinstance(sent, errors.UpstreamFault):
            return flow.throw(sent)
        try:
            return flow.send(sent)
        except errors.UpstreamFault as fault:
            raise self._transport.count_failure(fault) from fault.__cause__

    async def _current_login(self) -> Credentials | None:
        try:
            return None if self._login is None else await self._login.current()
        except errors.ConfigurationFault as error:
            raise errors.UpstreamRefused(f"upstream {self._name}: no login: {error}", upstream=self._name) from error

    async def _request_challenges(self) -> AuthReply:
        ping = PingRoute().url()
        answer = await self._transport.exchange(Request("GET", ping, ()), self._addresses.absolute(ping), None)
        answer.close()
        return AuthReply(answer.status, answer.all_of("WWW-Authenticate"))

    async def _request_token(self, step: TokenRequest) -> AuthReply:
        url = self._follow(self._addresses.base, step.url)
        request = Request("GET", str(url), ())
        if step.form is not None:
            request = Request("POST", str(url), (), _FORM, step.form)

        async def send(target: URL) -> Answer:
            authorization = step.authorization if target.origin() == url.origin() else None
            return await self._transport.exchange(request, target, authorization)

        answer = await self._redirected(request, url, send)
        try:
            body = await answer.read(MAX_TOKEN_BODY_BYTES)
        finally:
            answer.close()
        self._transport.tokens += answer.status == 200
        seconds = retry_after.parse(answer.headers.get("Retry-After"), self._clock.now())
        return AuthReply(answer.status, body=body, retry_after_seconds=seconds)

    def _redirect_target(self, request: Request, answer: Answer, url: URL) -> URL:
        location = answer.headers.get("Location")
        if location is None:
            raise answer.error(errors.UpstreamProtocolError, f"it answered {answer.status} without Location")
        target = self._follow(url, location)
        if not request.is_read:
            raise answer.error(
                errors.UpstreamProtocolError,
                f"it redirects a write to {redacted(target)}; fix: configure that address",
            )
        return target

    def _follow(self, url: URL, location: str) -> URL:
        try:
            return self._addresses.follow(url, location)
        except errors.UpstreamProtocolError as error:
            raise self._transport.count_failure(error) from None
