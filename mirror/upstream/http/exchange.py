"""One request and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from mirror.oci.errors import UpstreamFault, UpstreamProtocolError, UpstreamUnreachable
from mirror.upstream.http.upstream_errors import DripError, connection_fault, redacted

# A body that is read whole is small: it may not be dripped for hours. Blobs have no limit in all.
_READ_TIMEOUTS_IN_ALL = 5
# Less than this in the time of one read timeout is no transfer any more.
_LEAST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an upstream.

    Attributes:
        method: the HTTP method, upper case.
        url: path and query as built by :mod:`mirror.wire.routes`, or a URL that the upstream gave, as it gave it.
        scopes: what a token must allow, in the token specification's words.
        headers: beyond those that every request carries; never ``Authorization``.
        body: bytes, or a stream of unknown length, which is sent once and never again; None for no body.
        repeatable: whether sending it twice does no more than sending it once.
        bulk: whether its body, or that of the answer, may take long.
        counts: whether it is one that an upstream's quota counts: the GET of a manifest.
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
        """Whether the request changes nothing: then it is repeated, and follows redirects."""
        return self.method in {"GET", "HEAD"}


class ErrorForRequest(Protocol):
    """Makes an error that says which upstream was asked what."""

    def __call__(self, error: type[UpstreamFault], what: str, **detail: object) -> UpstreamFault: ...


class Answer:
    """An answer whose body has not been read yet. Whoever opened it closes it.

    Args:
        response: the HTTP library's.
        error: makes an error that names the upstream and the request.
        read_timeout_seconds: the longest wait between two pieces.
        received: told of each piece's length; gives the seconds to wait before the next one is asked for.
        closed: told once that the answer is closed.

    Attributes:
        status: the HTTP status.
        headers: the header fields, names without regard to case.
        error: makes an error that names the upstream and the request.
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
        """Every value of a header field that may stand several times."""
        return self._response.headers.getall(name, [])

    def size_bytes(self) -> int | None:
        """The size that ``Content-Length`` announces; None where it does not."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, in pieces as they arrive.

        Raises:
            UpstreamUnreachable: it breaks off, or next to nothing came for the read timeout.
            UpstreamProtocolError: it is not HTTP any more.
        """
        watch = _DripWatch(self._read_timeout_seconds)
        try:
            while chunk := await watch.waited(self._response.content.readany()):
                pause_seconds = self._received(len(chunk))
                yield chunk
                if pause_seconds:
                    await asyncio.sleep(pause_seconds)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind, what = connection_fault(error)
            raise self.error(kind, f"the body broke off: {what}") from error

    async def read(self, limit_bytes: int, *, whole: bool = True) -> bytes:
        """The body.

        Args:
            limit_bytes: most that is read.
            whole: whether a body that is longer is refused; else its beginning is given.

        Raises:
            UpstreamProtocolError: it is longer, and the whole was wanted.
            UpstreamUnreachable: as :meth:`chunks`, and where it does not end in several read timeouts.
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
        """Give back the connection, or end it where the body was not read to its end."""
        self._response.release()
        if self._closed is not None:
            closed, self._closed = self._closed, None
            closed()


class _DripWatch:
    """Ends a body that keeps moving, and never gets anywhere: what counts is the time spent waiting for it."""

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
