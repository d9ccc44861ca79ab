"""A request and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from mirror.oci.errors import UpstreamFault, UpstreamProtocolError, UpstreamUnreachable
from mirror.upstream.http.upstream_errors import DripError, connection_fault, redacted

# Total time for a body that is read as a whole, in read timeouts. Such a body is small. Blobs have no total limit.
_READ_TIMEOUTS_IN_ALL = 5
# A body with less than this within one read timeout is treated as stalled.
_LEAST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an upstream.

    Attributes:
        method: HTTP method, in upper case.
        url: path and query built by :mod:`mirror.wire.routes`, or a URL exactly as given by the upstream.
        scopes: scopes that a token must allow, in the form of the token specification.
        headers: additional headers, never ``Authorization``.
        body: bytes, or a stream of unknown length that can be sent only once; None: no body.
        repeatable: True if sending the request twice has the same effect as once.
        bulk: True if the transfer of a body may take long.
        counts: True if the upstream's quota counts the request, which is the GET of a manifest.
    """

    method: str
    url: str
    scopes: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterable[bytes] | None = field(default=None, repr=False)
    repeatable: bool = False
    bulk: bool = False
    counts: bool = False

    @property
    def is_read(self) -> bool:
        """True if the request changes nothing. Only such requests follow redirects, and they are retried."""
        return self.method in {"GET", "HEAD"}

    @property
    def may_repeat(self) -> bool:
        """True if sending the request twice does no harm."""
        return self.is_read or self.repeatable


class ErrorForRequest(Protocol):
    """A function that returns an error with the names of the upstream and the request."""

    def __call__(self, error: type[UpstreamFault], what: str, **detail: object) -> UpstreamFault: ...


class Answer:
    """An answer whose body has not been read. The caller that opened the answer must close it.

    Args:
        response: response of aiohttp.
        error: returns an error that names the upstream and the request.
        read_timeout_seconds: longest wait between two chunks.
        received: called with the size of each chunk. Returns the seconds to wait before the next read.
        closed: called once when the answer is closed.

    Attributes:
        status: the HTTP status.
        headers: the header fields, case-insensitive.
        error: returns an error that names the upstream and the request.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        error: ErrorForRequest,
        read_timeout_seconds: float,
        received: Callable[[int], float] = lambda _: 0.0,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url = redacted(response.url)
        self.error = error
        self._response = response
        self._read_timeout_seconds = read_timeout_seconds
        self._received = received
        self._closed: Callable[[], None] | None = closed

    def all_of(self, name: str) -> list[str]:
        """Return all values of a header field that may be repeated."""
        return self._response.headers.getall(name, [])

    def size_bytes(self) -> int | None:
        """Return the size in ``Content-Length``, or None."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body in chunks, as they arrive.

        Raises:
            UpstreamUnreachable: the connection broke, or almost no data arrived within the read timeout.
            UpstreamProtocolError: the body violates HTTP.
        """
        watch = _DripWatch(self._read_timeout_seconds)
        try:
            while chunk := await watch.waited(self._response.content.readany()):
                pause_seconds = self._received(len(chunk))
                yield chunk
                # After the chunk was passed on, so a bandwidth limit does not delay data that is already here.
                if pause_seconds:
                    await asyncio.sleep(pause_seconds)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind, what = connection_fault(error)
            raise self.error(kind, f"the body broke off: {what}") from error

    async def read(self, limit_bytes: int, *, whole: bool = True) -> bytes:
        """Return the body.

        Args:
            limit_bytes: most bytes to read.
            whole: True to raise for a longer body, False to return only its beginning.

        Raises:
            UpstreamProtocolError: ``whole`` is True and the body is longer.
            UpstreamUnreachable: as :meth:`chunks`, or the body does not end within five read timeouts.
        """
        content = bytearray()
        limit_seconds = _READ_TIMEOUTS_IN_ALL * self._read_timeout_seconds
        try:
            async with asyncio.timeout(limit_seconds):
                async for chunk in self.chunks():
                    content += chunk
                    if len(content) > limit_bytes and not whole:
                        break
                    if len(content) > limit_bytes:
                        what = f"the body is longer than {limit_bytes} bytes"
                        raise self.error(UpstreamProtocolError, what, limit_bytes=limit_bytes)
        except TimeoutError as error:
            raise self.error(UpstreamUnreachable, f"the body did not end within {limit_seconds:g} s") from error
        del content[limit_bytes:]
        return bytes(content)

    def close(self) -> None:
        """Return the connection to the pool, or close the connection if the body was not read to its end."""
        self._response.release()
        if self._closed is not None:
            closed, self._closed = self._closed, None  # a second ``close`` must not release another connection slot
            closed()


class _DripWatch:
    """A detector of bodies that keep arriving but never make progress.

    Only the time spent waiting for the upstream counts, not the time that the reader of the body takes.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._waited_seconds = 0.0
        self._got_bytes = 0

    async def waited(self, reading: Awaitable[bytes]) -> bytes:
        begun = asyncio.get_running_loop().time()
        chunk = await reading
        self._waited_seconds += asyncio.get_running_loop().time() - begun
        self._got_bytes += len(chunk)
        if self._waited_seconds >= self._timeout_seconds:
            if chunk and self._got_bytes < _LEAST_BYTES:
                raise DripError(f"{self._got_bytes} bytes in {self._waited_seconds:.3g} s")
            self._waited_seconds = 0.0
            self._got_bytes = 0
        return chunk
