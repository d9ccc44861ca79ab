"""The one way to an upstream: every request of every other module here goes through :class:`UpstreamSession`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TypeVar

import aiohttp
import stamina
from yarl import URL

from mirror import __version__
from mirror.oci.errors import (
    ClientFault,
    MirrorError,
    NotFound,
    UpstreamFault,
    UpstreamLied,
)
from mirror.runtime.clock import Clock
from mirror.upstream.addresses import Addresses
from mirror.upstream.auth import Authorizer, Reply, TokenRequest
from mirror.upstream.credentials import Credentials
from mirror.upstream.exchange import Answer, Request
from mirror.upstream.faults import answer_fault, connection_fault, shown
from mirror.upstream.outgoing import Outgoing
from mirror.upstream.patience import Patience
from mirror.wire.error_body import MAX_ERROR_BODY_BYTES
from mirror.wire.tokens import MAX_TOKEN_BODY_BYTES

Given = TypeVar("Given")

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# A body that is read whole is small: it may not be dripped for hours. Blobs have no limit in all.
_READ_TIMEOUTS_IN_ALL = 5
_READ_BUFFER_BYTES = 256 * 1024
_HEADERS = {"User-Agent": f"docker-plugin-mirror/{__version__}", "Accept-Encoding": "identity"}


class UpstreamSession:
    """Connections, credentials and manners towards one upstream.

    Made by :meth:`open`. Redirects are followed by hand: at most five, of reads only, never from https to http
    (unless the upstream is http itself), and ``Authorization`` stays with the upstream's own origin.
    """

    def __init__(
        self,
        *,
        name: str,
        addresses: Addresses,
        client: aiohttp.ClientSession,
        authorizer: Authorizer,
        clock: Clock,
        patience: Patience,
        read_timeout_seconds: float,
        hint: str,
    ) -> None:
        self.name = name
        self.patience = patience
        self.addresses = addresses
        self._client = client
        self._authorizer = authorizer
        self._clock = clock
        self._read_timeout_seconds = read_timeout_seconds
        self._hint = hint
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=patience.attempts,
            timeout=None,
            wait_initial=patience.first_pause_seconds,
            wait_max=patience.longest_pause_seconds,
            wait_jitter=patience.first_pause_seconds,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        name: str,
        url: str,
        plain_http: bool,
        credentials: Credentials | None,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        clock: Clock,
        patience: Patience,
    ) -> AsyncIterator[UpstreamSession]:
        """Open it; nothing is sent yet.

        Args:
            name: what it is called in the configuration.
            url: ``https://HOST[:PORT]``, without a path.
            plain_http: whether ``http://`` is meant.
            credentials: who we are; None: nobody.
            connect_timeout_seconds: the longest wait for a connection, name resolution and TLS included.
            read_timeout_seconds: the longest wait between two pieces, in either direction. There is no limit in all.
            clock: tells the age of tokens.
            patience: how often a request is tried.

        Raises:
            ConfigurationFault: the URL cannot be used, or is ``http://`` without ``plain_http``.
        """
        addresses = Addresses(name, url, plain_http=plain_http)
        if credentials is None:
            hint = f"no login is configured: set upstreams.{name}.credentials, unless the name is wrong"
        else:
            hint = f"check that user {credentials.username} of upstreams.{name}.credentials may do this"
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers=_HEADERS,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=connect_timeout_seconds, sock_read=read_timeout_seconds, ceil_threshold=60
            ),
            read_bufsize=_READ_BUFFER_BYTES,
        ) as client:
            authorizer = Authorizer(name, credentials, clock, plain_http=plain_http)
            yield cls(
                name=name,
                addresses=addresses,
                client=client,
                authorizer=authorizer,
                clock=clock,
                patience=patience,
                read_timeout_seconds=read_timeout_seconds,
                hint=hint,
            )

    @asynccontextmanager
    async def request(
        self, request: Request, *, expect: Collection[int], missing: type[NotFound] = NotFound
    ) -> AsyncIterator[Answer]:
        """Send a request; the answer lives inside the ``async with``. Raises as :meth:`send`."""
        answer = await self.send(request, expect=expect, missing=missing)
        try:
            yield answer
        finally:
            answer.close()

    async def send(self, request: Request, *, expect: Collection[int], missing: type[NotFound] = NotFound) -> Answer:
        """Send a request and give its answer, which the caller closes.

        A read, or a request said to be repeatable, is tried again where it fails for a reason that may pass.

        Args:
            request: what to ask.
            expect: the statuses that are an answer.
            missing: what a 404 means.

        Raises:
            UpstreamUnreachable: no connection or no answer in time.
            UpstreamRefused: 401, 403, or no token.
            UpstreamBusy: 429 or 5xx; ``detail["retry_after_seconds"]`` where it said so.
            UpstreamLied: an answer that cannot be one.
            ClientFault: another 4xx: the class that its code and status stand for; ``missing`` for a 404.
        """
        return await self._tried(request, partial(self._send_once, request, expect, missing))

    async def read(
        self, request: Request, limit_bytes: int, *, expect: Collection[int], missing: type[NotFound] = NotFound
    ) -> tuple[Answer, bytes]:
        """Send a request and read the whole answer, at most ``limit_bytes`` of body; tried again as a whole.

        Raises as :meth:`send`; UpstreamLied also for a longer body.
        """

        async def once() -> tuple[Answer, bytes]:
            answer = await self._send_once(request, expect, missing)
            try:
                return answer, await answer.read(limit_bytes)
            finally:
                answer.close()

        return await self._tried(request, once)

    async def _tried(self, request: Request, once: Callable[[], Awaitable[Given]]) -> Given:
        if request.is_read or request.repeatable:
            return await self._retrying(self._worth_another_try, once)
        return await once()

    @contextmanager
    def disbelieving(self, answer: Answer) -> Iterator[None]:
        """Turn what a parser says of an answer's content into the upstream's fault."""
        try:
            yield
        except ClientFault as error:
            raise answer.blame(UpstreamLied, str(error), **error.detail) from error

    def _worth_another_try(self, error: Exception) -> bool | float:
        if not isinstance(error, MirrorError) or not error.temporary:
            return False
        asked_seconds = float(error.detail.get("retry_after_seconds", 0))
        if asked_seconds > self.patience.longest_pause_seconds:
            return False
        return asked_seconds or True

    async def _send_once(self, request: Request, expect: Collection[int], missing: type[NotFound]) -> Answer:
        answer = await self._authorized(request)
        if answer.status in expect:
            coding = answer.headers.get("Content-Encoding", "identity").lower()
            if coding == "identity":
                return answer
            answer.close()
            raise answer.blame(UpstreamLied, f"it used Content-Encoding {coding[:40]!r}, which was not asked for")
        try:
            raise await self._fault(request, answer, missing)
        finally:
            answer.close()

    async def _fault(self, request: Request, answer: Answer, missing: type[NotFound]) -> MirrorError:
        try:
            body = await answer.read(MAX_ERROR_BODY_BYTES)
        except UpstreamFault:
            body = b""  # the status says enough
        return answer_fault(
            self.name,
            f"{request.method} {answer.url}",
            answer.status,
            body,
            missing=missing,
            retry=answer.headers.get("Retry-After"),
            hint=self._hint,
            now=self._clock.now(),
        )

    async def _authorized(self, request: Request) -> Answer:
        flow = self._authorizer.flow(request.scopes)
        step = next(flow)
        while True:
            if isinstance(step, TokenRequest):
                reply = await self._token_reply(step)
            else:
                answer, own = await self._followed(request, step.authorization, self.addresses.base)
                if answer.status != 401 or not own or isinstance(request.body, AsyncIterable):
                    return answer
                reply = Reply(answer.status, answer.all_of("WWW-Authenticate"))
            try:
                step = flow.send(reply)
            except StopIteration:
                return answer
            except MirrorError:
                answer.close()
                raise
            answer.close()

    async def _token_reply(self, step: TokenRequest) -> Reply:
        server = self.addresses.follow(self.addresses.base, step.url)
        answer, _ = await self._followed(Request("GET", str(server), ()), step.authorization, server.origin())
        try:
            return Reply(answer.status, body=await answer.read(MAX_TOKEN_BODY_BYTES))
        finally:
            answer.close()

    async def _followed(self, request: Request, authorization: str | None, trusted: URL) -> tuple[Answer, bool]:
        """The answer after any redirects, and whether it comes from ``trusted``, which alone is told who we are."""
        url = first = self.addresses.absolute(request.url)
        for _ in range(_MOST_REDIRECTS + 1):
            own = url.origin() == trusted
            answer = await self._exchange(request, url, authorization if own else None)
            if answer.status not in _REDIRECTS:
                return answer, own
            answer.close()
            url = self._redirect(request, answer, url)
        raise UpstreamLied(f"upstream {self.name}: {request.method} {shown(first)} is redirected without end")

    def _redirect(self, request: Request, answer: Answer, url: URL) -> URL:
        location = answer.headers.get("Location")
        if location is None:
            raise answer.blame(UpstreamLied, f"it answered {answer.status} without Location")
        target = self.addresses.follow(url, location)
        if not request.is_read:
            raise answer.blame(
                UpstreamLied, f"it redirects a write, to {shown(target)}: configure that address instead"
            )
        return target

    async def _exchange(self, request: Request, url: URL, authorization: str | None) -> Answer:
        headers = dict(request.headers)
        if authorization is not None:
            headers["Authorization"] = authorization
        blame = partial(self._blamed, f"{request.method} {shown(url)}")
        outgoing = Outgoing(request.body, self._read_timeout_seconds)
        try:
            async with outgoing.watched():
                response = await self._client.request(
                    request.method, url, headers=headers, data=outgoing.data, allow_redirects=False
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if outgoing.error is not None:
                raise outgoing.error from None
            kind, what = connection_fault(error)
            raise blame(kind, what) from error
        return Answer(response, blame, _READ_TIMEOUTS_IN_ALL * self._read_timeout_seconds)

    def _blamed(self, asked: str, error: type[UpstreamFault], what: str, **detail: object) -> UpstreamFault:
        return error(f"upstream {self.name}: {asked}: {what}", **{"upstream": self.name, **detail})
