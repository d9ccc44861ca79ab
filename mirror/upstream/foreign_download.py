"""Download of a foreign layer from the server that its URL names. The server is not the upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import IO

from yarl import URL

from mirror.oci import Descriptor
from mirror.oci.errors import MirrorError, UpstreamProtocolError
from mirror.registry.port import Blob
from mirror.registry.streams import verify_chunks
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.wire.ranges import RangeRequest, Span, parse_content_range

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ForeignBlob:
    """A layer that another server sends. Implements :class:`mirror.registry.port.Blob`.

    The last chunk of a whole layer follows only after the digest was verified.
    """

    file: IO[bytes] | None = None

    def __init__(self, answer: Answer, layer: Descriptor, span: Span) -> None:
        self.size_bytes = layer.size_bytes
        self.span = span
        self._answer = answer
        self._layer = layer

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self.span.start:
            return self._rest()
        return verify_chunks(self._answer.chunks(), self._layer.digest, self.size_bytes, self._mismatch)

    async def _rest(self) -> AsyncIterator[bytes]:
        """Yield the requested part. The caller has the beginning, and so verifies the digest."""
        # A server without ranges sends the whole layer.
        skip = self.span.start if self._answer.status == 200 else 0
        left = self.span.size_bytes
        async for chunk in self._answer.chunks():
            piece = chunk[skip : skip + left]
            skip -= min(skip, len(chunk))
            left -= len(piece)
            if piece:
                yield piece
            if not left:
                return
        raise self._mismatch(f"{self._layer.digest} ends {left} bytes early")

    def _mismatch(self, message: str, **detail: object) -> MirrorError:
        return self._answer.error(UpstreamProtocolError, message, **detail)


@asynccontextmanager
async def open_foreign_layer(
    session: UpstreamSession, url: str, layer: Descriptor, part: RangeRequest | None
) -> AsyncIterator[Blob]:
    """Open a layer at a URL. No credentials are sent, and forbidden destinations are refused as for redirects.

    Args:
        session: session of the upstream whose manifest names the URL. Its proxies, certificates and limits apply.
        url: URL that the configuration allows.
        layer: the layer.
        part: part to read, None for the whole layer.

    Raises:
        UpstreamFault: the server does not have the layer, fails, or must not be asked.
    """
    headers = {} if part is None else {"Range": str(part)}
    with closing(await _follow(session, Request("GET", url, (), headers, bulk=True))) as answer:
        placed = parse_content_range(answer.headers.get("Content-Range"))
        span = Span(0, layer.size_bytes) if part is None else part.resolve(layer.size_bytes)
        is_part = answer.status == 206 and part is not None and placed is not None and placed[0].start == span.start
        if answer.status != 200 and not is_part:
            raise answer.error(UpstreamProtocolError, f"it answered {answer.status}")
        yield ForeignBlob(answer, layer, span)


async def _follow(session: UpstreamSession, request: Request) -> Answer:
    try:
        url = URL(request.url, encoded=True).with_fragment(None)
        forbidden = session.addresses.guard.refusal(url.host or "")
    except ValueError as error:  # a name in another script that cannot be read
        raise session.protocol_error("the URL of a foreign layer is not valid") from error
    if forbidden is not None and url.origin() != session.addresses.base:
        raise session.protocol_error(f"a foreign layer lies at {url.origin()}, {forbidden}: not followed")
    for _ in range(_MOST_REDIRECTS + 1):
        answer = await session.transport.exchange(request, url, None)
        if answer.status not in _REDIRECTS or "Location" not in answer.headers:
            return answer
        answer.close()
        url = session.addresses.follow(url, answer.headers["Location"])
    raise session.protocol_error(f"a foreign layer at {url.origin()} is redirected too often")
