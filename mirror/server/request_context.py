"""One request on its way to the registry: what every handler is given, and how it reads the body."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

from aiohttp import ClientError, HttpVersion11, hdrs, web

from mirror.access.rights import AccessAction, Guarded
from mirror.oci import Repository
from mirror.oci.errors import ContentTooLarge, ContentTooSlow, SizeInvalid
from mirror.registry.port import Registry
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http.activity import Activity
from mirror.server.http.body_rate import BodyRate
from mirror.server.http.server_limits import ServerLimits
from mirror.wire.routes import Route

#: What a request was found to ask for, and its name in the log.
ROUTE: Final = web.RequestKey("route", Route)
REQUEST_ID: Final = web.RequestKey("request_id", str)
#: On requests whose answer, whatever it is, is not for everybody.
VARIES: Final = web.RequestKey("varies", bool)
#: The name of the user who sent it; absent for nobody in particular.
USER: Final = web.RequestKey("user", str)


def request_ids() -> Iterator[str]:
    """Names for requests, without end; those of another process are others."""
    prefix = secrets.token_hex(6)
    return (f"{prefix}-{number}" for number in count(1))


@dataclass(slots=True, eq=False)  # made for every request, and a frozen one takes twice as long to make
class RequestContext:
    """A request, and what it is answered from.

    Attributes:
        request: the request.
        registry: the registry as this caller sees it.
        limits: what the caller may ask of the server.
        activity: what the server has under way.
        forwarded: how the server is reached.
        varies: whether others may be answered something else.
    """

    request: web.BaseRequest
    registry: Registry
    limits: ServerLimits
    activity: Activity
    forwarded: ForwardedHeaders
    varies: bool = False

    @property
    def client(self) -> str:
        """The client that what the request takes is counted for."""
        return self.forwarded.client_key(self.request)

    def require(self, action: AccessAction, repository: Repository) -> None:
        """Return where the caller may do this. Handlers that take a body ask before they take it.

        Raises:
            MirrorError: the caller may not.
        """
        if isinstance(self.registry, Guarded):
            self.registry.require(action, repository)

    async def receive(self, limit_bytes: int) -> AsyncIterator[bytes]:
        """The body, as it arrives. A client that asked whether it may send it is told so at the first step.

        Args:
            limit_bytes: most bytes taken.

        Raises:
            ContentTooLarge: the body is longer; known before the first step where the client gave its length.
            SizeInvalid: the client went away, fell silent or broke the transfer coding before the end.
            ContentTooSlow: the body comes slowly, and others wait for the place that it takes.
        """
        request, now_seconds = self.request, self.activity.now_seconds
        announced = request.content_length
        if announced is not None and announced > limit_bytes:
            raise _too_large(limit_bytes)
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
            with _broken_off(0):
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        received, pace = 0, BodyRate(self.limits.least_body_bytes_per_second, now_seconds())
        while chunk := await self._next_chunk(received):
            received += len(chunk)
            if received > limit_bytes:
                raise _too_large(limit_bytes)
            if pace.received(len(chunk), now_seconds()) and self.activity.is_crowded(self.client):
                raise self._too_slow(received)
            yield chunk

    def _too_slow(self, received: int) -> ContentTooSlow:
        self.activity.dawdling.add(self.client)
        least = f"{self.limits.least_body_bytes_per_second:g}"
        return ContentTooSlow(
            f"request body came with less than {least} bytes a second, and others wait: {received} bytes were taken; "
            "go on with the upload later, or lower server.limits.least_body_bytes_per_second",
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
                    f"request body stopped after {received} bytes: nothing came for {seconds} s", received=received
                ) from error


@contextmanager
def _broken_off(received: int) -> Iterator[None]:
    try:
        yield
    except (ClientError, web.RequestPayloadError, ConnectionError) as error:
        raise SizeInvalid(f"request body broke off after {received} bytes", received=received) from error


def _too_large(limit_bytes: int) -> ContentTooLarge:
    return ContentTooLarge(f"request body is too large: at most {limit_bytes} bytes are accepted", limit=limit_bytes)
