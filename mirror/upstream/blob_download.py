"""The download of one blob from an upstream, over as many connections as it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import IO

from mirror.oci import Digest, Repository, errors
from mirror.registry.streams import verify_chunks
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_errors import may_pass_soon
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.wire.auth.scopes import repository_scope
from mirror.wire.ranges import RangeRequest, Span, parse_content_range
from mirror.wire.routes import BlobRoute

# So much between two breaks counts as progress: a bad line is borne, a line that breaks at once is not.
_PROGRESS_BYTES = 1024 * 1024


class UpstreamBlob:
    """Implements :class:`mirror.registry.port.Blob`.

    Iterated as a whole it gives its last piece only when the digest is right. A connection that breaks is replaced by
    another that goes on with a Range request, as long as there is progress; an upstream that answers it with the whole
    blob is coped with by skipping.
    """

    file: IO[bytes] | None = None

    def __init__(
        self, session: UpstreamSession, repository: Repository, digest: Digest, size_bytes: int, span: Span
    ) -> None:
        self.size_bytes = size_bytes
        self.span = span
        self._session = session
        self._repository = repository
        self._digest = digest
        self._answer: Answer | None = None

    def begin(self, answer: Answer) -> None:
        """Read on from an answer."""
        self.close()
        self._answer = answer

    def close(self) -> None:
        """Release the connection."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def unverified(self) -> AsyncIterator[bytes]:
        """Iterate each piece as it comes, for a caller that verifies the whole."""
        return self._received()

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self.span == Span(0, self.size_bytes):
            return verify_chunks(self._received(), self._digest, self.size_bytes, self._protocol_error)
        return self._received()

    async def _received(self) -> AsyncIterator[bytes]:
        position = resumed_at = self.span.start
        fruitless = 0
        while position < self.span.stop or self._answer is not None:
            if self._answer is None:
                self._answer = await self._resume(position)
            try:
                async for chunk in self._chunks_from(self._answer, position):
                    yield chunk
                    position += len(chunk)
                self.close()
                if position < self.span.stop:
                    raise self._broken(position)
            except errors.UpstreamFault as error:
                self.close()
                fruitless = 0 if position - resumed_at >= _PROGRESS_BYTES else fruitless + 1
                if not may_pass_soon(error) or not self._session.retry.allows_another(fruitless):
                    raise
                resumed_at = position

    async def _chunks_from(self, answer: Answer, position: int) -> AsyncIterator[bytes]:
        """The bytes from ``position`` on out of an answer that may begin before it."""
        skip = position - _start(answer)
        async for chunk in answer.chunks():
            piece = chunk[skip:] if skip < len(chunk) else b""
            skip -= min(skip, len(chunk))
            left = self.span.stop - position
            if len(piece) > left and self.span.stop == self.size_bytes:
                raise self._protocol_error(f"{self._digest} is longer than its {self.size_bytes} bytes")
            position += min(len(piece), left)
            if left and piece:
                yield piece[:left]
            if position == self.span.stop < self.size_bytes:
                return

    async def _resume(self, position: int) -> Answer:
        last = None if self.span.stop == self.size_bytes else self.span.stop - 1
        try:
            answer = await open_part(self._session, self._repository, self._digest, RangeRequest(position, last))
        except errors.RangeInvalid as error:
            raise self._protocol_error(
                f"{self._digest} has {self.size_bytes} bytes, and then none from {position} on"
            ) from error
        start, size = _start(answer), whole_size(answer)
        if start not in {0, position} or size not in {None, self.size_bytes}:
            answer.close()
            raise self._protocol_error(f"{self._digest} from byte {position} was asked for, another part came")
        return answer

    def _protocol_error(self, message: str, **detail: object) -> errors.MirrorError:
        return self._session.protocol_error(f"repository {self._repository}: {message}", **detail)

    def _broken(self, position: int) -> errors.UpstreamFault:
        return errors.UpstreamUnreachable(
            f"upstream {self._session.name}, repository {self._repository}: "
            f"{self._digest} broke off after {position} of {self.size_bytes} bytes",
            received=position,
        )


async def open_part(
    session: UpstreamSession, repository: Repository, digest: Digest, part: RangeRequest | None
) -> Answer:
    """GET a blob or a part of it: a 200, or a 206 where a part was asked for and its place in the whole is said.

    Raises:
        BlobUnknown, RangeInvalid, and as :meth:`UpstreamSession.send`.
    """
    request = Request(
        "GET",
        BlobRoute(repository, digest).url(),
        (repository_scope(repository, "pull"),),
        {} if part is None else {"Range": str(part)},
        bulk=True,
    )
    answer = await session.send(request, expect={200} if part is None else {200, 206}, missing=errors.BlobUnknown)
    if answer.status == 206 and parse_content_range(answer.headers.get("Content-Range")) is None:
        answer.close()
        raise answer.error(errors.UpstreamProtocolError, "it sent a part without saying which (Content-Range)")
    return answer


async def blob_size(session: UpstreamSession, repository: Repository, digest: Digest) -> int | None:
    """The size that a HEAD of a blob gives; None where it gives none, or the upstream does not know HEAD.

    Raises:
        BlobUnknown, and as :meth:`UpstreamSession.send`.
    """
    request = Request("HEAD", BlobRoute(repository, digest).url(), (repository_scope(repository, "pull"),))
    try:
        async with session.request(request, expect={200}, missing=errors.BlobUnknown) as answer:
            return answer.size_bytes()
    except errors.Unsupported:
        return None


def whole_size(answer: Answer) -> int | None:
    """The size of the whole blob that a part of is sent; None where the answer does not say."""
    placed = parse_content_range(answer.headers.get("Content-Range"))
    if answer.status == 206 and placed is not None:
        return placed[1]
    return answer.size_bytes()


def _start(answer: Answer) -> int:
    placed = parse_content_range(answer.headers.get("Content-Range"))
    return placed[0].start if answer.status == 206 and placed is not None else 0
