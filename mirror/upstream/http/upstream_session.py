"""The single entry point for requests to an upstream: all modules of this package use :class:`UpstreamSession`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from typing import TypeVar

import stamina
import structlog
from stamina.instrumentation import set_on_retry_hooks

from mirror.oci import errors
from mirror.runtime.clock import Clock
from mirror.runtime.retry_policy import RetryPolicy
from mirror.upstream.http.authorized_sender import AuthorizedSender
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.transport import Transport, jittered
from mirror.upstream.http.upstream_errors import answer_fault, may_pass_soon
from mirror.upstream.http.upstream_urls import UpstreamUrls
from mirror.wire.auth import challenges
from mirror.wire.error_body import MAX_ERROR_BODY_BYTES

Given = TypeVar("Given")

_LOG = structlog.get_logger(__name__)
# Retries are logged by this module, in words of this program.
set_on_retry_hooks(())


class UpstreamSession:
    """Requests to one upstream, with credentials, retries and redirects.

    Args:
        name: name of the upstream in the configuration.
        addresses: addresses of the upstream.
        transport: sends requests to single hosts.
        sender: sends requests with credentials, and follows redirects.
        clock: current time.
        retry: retries after temporary failures.
        login_advice: how to give a login; empty for the settings of the upstream.

    Attributes:
        changes: increases at the start and at the end of every request that changes the upstream.
    """

    def __init__(
        self,
        *,
        name: str,
        addresses: UpstreamUrls,
        transport: Transport,
        sender: AuthorizedSender,
        clock: Clock,
        retry: RetryPolicy,
        login_advice: str = "",
    ) -> None:
        self.name = name
        self.addresses = addresses
        self.transport = transport
        self.retry = retry
        self.changes = 0
        self._sender = sender
        self._login_advice = login_advice or f"set upstreams.{name}.credentials"
        self.clock = clock
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=retry.attempts,
            timeout=retry.total_seconds,
            wait_initial=retry.first_delay_seconds,
            wait_max=retry.longest_delay_seconds,
            wait_jitter=retry.first_delay_seconds,
        )

    @asynccontextmanager
    async def request(
        self, request: Request, *, expect: Collection[int], missing: type[errors.NotFound] = errors.NotFound
    ) -> AsyncIterator[Answer]:
        """Send a request. The answer is valid inside the ``async with`` block. Raises as :meth:`send`."""
        answer = await self.send(request, expect=expect, missing=missing)
        try:
            yield answer
        finally:
            answer.close()

    async def send(
        self, request: Request, *, expect: Collection[int], missing: type[errors.NotFound] = errors.NotFound
    ) -> Answer:
        """Send a request and return its answer, which the caller must close.

        Reads and repeatable requests are retried after temporary failures.

        Args:
            request: the request.
            expect: statuses that count as success.
            missing: error class for a 404.

        Raises:
            UpstreamUnreachable: no connection or no answer in time; CircuitOpen, UpstreamOffline: no attempt was made.
            UpstreamRefused: 401, 403, or no token.
            UpstreamBusy: 429 or 5xx, with ``detail["retry_after_seconds"]`` if the upstream requested a pause.
            UpstreamProtocolError: the answer is invalid.
            ClientFault: another 4xx: the class that matches its code and status; ``missing`` for a 404.
        """
        return await self._with_retries(request, partial(self._send_once, request, expect, missing))

    async def read(
        self,
        request: Request,
        limit_bytes: int,
        *,
        expect: Collection[int],
        missing: type[errors.NotFound] = errors.NotFound,
    ) -> tuple[Answer, bytes]:
        """Send a request and read the whole body, at most ``limit_bytes``. Retries repeat the request and the reading.

        Raises as :meth:`send`, and UpstreamProtocolError for a longer body.
        """

        async def once() -> tuple[Answer, bytes]:
            answer = await self._send_once(request, expect, missing)
            try:
                return answer, await answer.read(limit_bytes)
            finally:
                answer.close()

        return await self._with_retries(request, once)

    async def _with_retries(self, request: Request, once: Callable[[], Awaitable[Given]]) -> Given:
        if not request.may_repeat:
            return await once()
        failures = count(1)

        def decide(error: Exception) -> bool | float:
            delay = self._retry_delay(error)
            self._log_retry(error, next(failures), delay)
            return delay

        return await self._retrying(decide, once)

    @property
    def has_quota(self) -> bool:
        """True if the upstream counts GET requests for manifests towards a quota, as Docker Hub does."""
        return self.addresses.is_docker_hub or self.transport.quota is not None

    @contextmanager
    def as_upstream_error(self, answer: Answer) -> Iterator[None]:
        """Convert errors of a parser of the answer's content to UpstreamProtocolError."""
        try:
            yield
        except errors.ClientFault as error:
            raise answer.error(errors.UpstreamProtocolError, str(error), **error.detail) from error

    def _retry_delay(self, error: Exception) -> bool | float:
        if not isinstance(error, errors.MirrorError) or not may_pass_soon(error):
            return False
        asked_seconds = float(error.detail.get("retry_after_seconds", 0))
        if asked_seconds > self.retry.longest_delay_seconds:
            return False
        return jittered(asked_seconds) or True  # True: the delay of the retry policy

    def _log_retry(self, error: Exception, failures: int, delay: bool | float) -> None:  # noqa: FBT001 - of stamina
        most = None if self.retry.attempts is None else self.retry.attempts - 1
        if delay is not False and (most is None or failures <= most):
            number = str(failures) if most is None else f"{failures} of {most}"
            _LOG.warning("upstream request failed, trying again", upstream=self.name, retry=number, error=str(error))

    async def _send_once(self, request: Request, expect: Collection[int], missing: type[errors.NotFound]) -> Answer:
        self.changes += not request.is_read
        try:
            answer = await self._sender.send(request)
        finally:  # a list read during the request may contain the change or not
            self.changes += not request.is_read
        if answer.status in expect:
            coding = answer.headers.get("Content-Encoding", "identity").lower()
            if coding == "identity" or answer.status >= 400:
                return answer
            answer.close()
            raise answer.error(
                errors.UpstreamProtocolError, f"it used Content-Encoding {coding[:40]!r}, which was not requested"
            )
        try:
            raise await self._fault(request, answer, missing)
        finally:
            answer.close()

    async def _fault(self, request: Request, answer: Answer, missing: type[errors.NotFound]) -> errors.MirrorError:
        try:
            body = await answer.read(MAX_ERROR_BODY_BYTES, whole=False)
        except errors.UpstreamFault:
            body = b""  # the status is enough for an error
        fault = answer_fault(
            self.name,
            f"{request.method} {answer.url}",
            answer.status,
            body,
            missing=missing,
            retry=answer.headers.get("Retry-After"),
            login=self._about_login(),
            wanted=[one.scheme for header in answer.all_of("WWW-Authenticate")[:8] for one in challenges.parse(header)],
            now=self.clock.now(),
        )
        return self.transport.count_failure(fault) if isinstance(fault, errors.UpstreamFault) else fault

    def _about_login(self) -> str:
        label = self._sender.login_label
        if label is None:
            return f"no login is configured; fix: {self._login_advice}, or correct the name"
        return f"with {label}; fix: check that it is valid, and has the right to do this"

    def protocol_error(self, what: str, **detail: object) -> errors.UpstreamFault:
        """Return an error that the upstream caused with invalid data. Count and log the error."""
        error = errors.UpstreamProtocolError(f"upstream {self.name}: {what}", **{"upstream": self.name, **detail})
        return self.transport.count_failure(error)
