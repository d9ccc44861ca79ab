"""One request and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from mirror.oci.errors import UpstreamFault, UpstreamLied, UpstreamUnreachable
from mirror.upstream.faults import connection_fault, shown


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an upstream.

    Attributes:
        method: the HTTP method, upper case.
        url: path and query as built by :mod:`mirror.wire.routes`, or a URL that the upstream gave, as it gave it.
        scopes: what a token must allow, in the token specification's words.
        headers: beyond those that every request carries; never ``Authorization``.
        body: bytes, or a stream of unknown length, which is sent once and never again; None for no body.
        repeatable: whether sending it twice does no more than sending it once.
    """

    method: str
    url: str
    scopes: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterable[bytes] | None = field(default=None, repr=False)
    repeatable: bool = False

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing: such a request is repeated, and follows redirects."""
        return self.method in {"GET", "HEAD"}


class Blame(Protocol):
    """Makes an error that says which upstream was asked what."""

    def __call__(self, error: type[UpstreamFault], what: str, **detail: object) -> UpstreamFault: ...


class Answer:
    """An answer whose body has not been read yet. Whoever opened it closes it.

    Attributes:
        status: the HTTP status.
        headers: the header fields, names without regard to case.
        blame: makes an error that names the upstream and the request.
    """

    def __init__(self, response: aiohttp.ClientResponse, blame: Blame, read_timeout_seconds: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url = shown(response.url)
        self.blame = blame
        self._response = response
        self._read_timeout_seconds = read_timeout_seconds

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
            UpstreamUnreachable: it breaks off, or nothing came for the read timeout.
            UpstreamLied: it is not HTTP any more.
        """
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind, what = connection_fault(error)
            raise self.blame(kind, f"the body broke off: {what}") from error

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            UpstreamLied: it is longer than ``limit_bytes``.
            UpstreamUnreachable: as :meth:`chunks`, and where it does not end in several read timeouts.
        """
        content = bytearray()
        try:
            async with asyncio.timeout(self._read_timeout_seconds):
                async for chunk in self.chunks():
                    content += chunk
                    if len(content) > limit_bytes:
                        raise self.blame(UpstreamLied, f"the body is longer than {limit_bytes} bytes")
        except TimeoutError as error:
            seconds = self._read_timeout_seconds
            raise self.blame(UpstreamUnreachable, f"the body did not end within {seconds:g} s") from error
        return bytes(content)

    def close(self) -> None:
        """Give back the connection, or end it where the body was not read to its end."""
        self._response.release()
