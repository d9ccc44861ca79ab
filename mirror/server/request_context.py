"""The context of a request: the arguments of every handler, and reading of the request body."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

from aiohttp import ClientError, HttpVersion11, hdrs, web

from mirror.access.callers import Caller
from mirror.access.rights import AccessAction, Guarded
from mirror.oci import Repository
from mirror.oci.errors import ContentTooLarge, ContentTooSlow, SizeInvalid
from mirror.registry.port import Registry
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http.activity import Activity
from mirror.server.http.body_rate import BodyRate
from mirror.server.http.server_limits import ServerLimits
from mirror.wire.routes import Route

#: The parsed route of a request.
ROUTE: Final = web.RequestKey("route", Route)
#: Set on requests whose answer, including an error, differs between clients.
VARIES: Final = web.RequestKey("varies", bool)
#: The name of the user who sent the request, or of the client by its certificate; absent for an anonymous request.
USER: Final = web.RequestKey("user", str)
#: The client that the certificate of the connection names; absent without a certificate.
CLIENT_CERTIFICATE: Final = web.RequestKey("client_certificate", Caller)


def request_ids() -> Iterator[str]:
    """Return an endless iterator of request ids, distinct from those of other processes."""
    prefix = secrets.token_hex(6)
    return (f"{prefix}-{number}" for number in count(1))


@dataclass(slots=True, eq=False)  # not frozen: one is made for every request, and freezing doubles the time
class RequestContext:
    """A request, and everything needed to answer it.

    Attributes:
        request: the request.
        registry: the registry as seen by this caller.
        limits: the limits for clients.
        activity: the current activity of the process.
        forwarded: builds the server's public URL, and finds the client's address.
        varies: True if other clients may get another answer.
    """

    request: web.BaseRequest
    registry: Registry
    limits: ServerLimits
    activity: Activity
    forwarded: ForwardedHeaders
    varies: bool = False

    @property
    def client(self) -> str:
        """The key of the client for which the request is counted."""
        return self.forwarded.client_key(self.request)

    def url(self, route: Route) -> str:
        """Return the URL of a route for ``Location`` and ``Link``.

        The URL has no scheme and no host: engines from 20.10 on send no credentials to another host or scheme. Its path
        begins with the prefix below which this client reaches the server.
        """
        return self.forwarded.prefix(self.request) + route.url()

    def require(self, action: AccessAction, repository: Repository) -> None:
        """Check that the caller may do this. Handlers call this before they receive a body.

        Raises:
            MirrorError: the caller may not do this.
        """
        if isinstance(self.registry, Guarded):
            self.registry.require(action, repository)

    def receive(self, limit_bytes: int, held_bytes: int = 0) -> AsyncIterator[bytes]:
        """Check the announced length of the body, and return the body chunk by chunk.

        "100 Continue" is sent at the first step if the client waits for it.

        Args:
            limit_bytes: most bytes accepted.
            held_bytes: bytes of earlier requests, which count towards the limit.

        Returns:
            The chunks of the body.

        Raises:
            ContentTooLarge: the body is too long. Raised at once if the client announced the length.
            SizeInvalid: the client disconnected, sent nothing for ``idle_seconds``, or broke the transfer coding.
            ContentTooSlow: the body is slow, and others wait for the slot it occupies.
        """
        announced = self.request.content_length
        if announced is not None and held_bytes + announced > limit_bytes:
            raise _too_large(limit_bytes, held_bytes)
        return self._chunks(limit_bytes, held_bytes)

    async def _chunks(self, limit_bytes: int, held_bytes: int) -> AsyncIterator[bytes]:
        request, now_seconds = self.request, self.activity.now_seconds
        # Sent only now, so that a client waiting for it learns of a refusal before it sends the body.
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
            with _broken_off(0):
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        received, pace = 0, BodyRate(self.limits.least_body_bytes_per_second, now_seconds())
        while chunk := await self._next_chunk(received):
            received += len(chunk)
            if held_bytes + received > limit_bytes:
                raise _too_large(limit_bytes, held_bytes)
            # A slow body may continue as long as nobody needs its slot.
            if pace.received(len(chunk), now_seconds()) and self.activity.is_crowded(self.client):
                raise self._too_slow(received)
            yield chunk

    def _too_slow(self, received: int) -> ContentTooSlow:
        self.activity.dawdling.add(self.client)
        least = f"{self.limits.least_body_bytes_per_second:g}"
        return ContentTooSlow(
            f"request body was slower than {least} bytes/s while other clients waited; {received} bytes were received; "
            "fix: continue the upload later, or lower server.limits.least_body_bytes_per_second",
            received=received,
        )

    async def _next_chunk(self, received: int) -> bytes:
        with _broken_off(received):
            try:
                async with asyncio.timeout(self.limits.idle_seconds):
                    return await self.request.content.readany()
            except TimeoutError as error:
                seconds = f"{self.limits.idle_seconds:g}"
                raise SizeInvalid(
                    f"request body stopped after {received} bytes: no data arrived for {seconds} s", received=received
                ) from error


@contextmanager
def _broken_off(received: int) -> Iterator[None]:
    try:
        yield
    except (ClientError, web.RequestPayloadError, ConnectionError) as error:
        raise SizeInvalid(f"request body broke off after {received} bytes", received=received) from error


def _too_large(limit_bytes: int, held_bytes: int) -> ContentTooLarge:
    earlier = f" in total, and {held_bytes} bytes came with earlier requests" if held_bytes else ""
    return ContentTooLarge(
        f"request body is too large: at most {limit_bytes} bytes are accepted{earlier}", limit=limit_bytes
    )
