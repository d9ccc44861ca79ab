"""Download of one blob from an upstream, over several connections if necessary."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import IO

from mirror.oci import Digest, Repository, errors
from mirror.registry.streams import verify_chunks
from mirror.upstream.head_requests import UNRELIABLE_STATUSES
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_errors import may_pass_soon
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.wire.auth.scopes import repository_scope
from mirror.wire.ranges import RangeRequest, Span, parse_content_range
from mirror.wire.routes import BlobRoute

# Bytes between two interruptions that count as progress. A poor line that makes progress may break any number of times,
# while a connection that always breaks early uses up the attempts of the retry policy.
_PROGRESS_BYTES = 1024 * 1024


class UpstreamBlob:
    """A blob of an upstream. Implements :class:`mirror.registry.port.Blob`.

    Iteration over a whole blob yields the last chunk only after the digest was verified. After a lost connection, a
    Range request on a new connection continues the download, as long as there is progress. If the upstream answers the
    Range request with the whole blob, the known bytes are skipped.
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
        """Continue with the body of an answer."""
        self.close()
        self._answer = answer

    def close(self) -> None:
        """Release the connection."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def unverified(self) -> AsyncIterator[bytes]:
        """Iterate the chunks as they arrive, for a caller that verifies the digest itself."""
        return self._received()

    async def wrong_content(self) -> errors.MirrorError:
        return self._protocol_error(f"content of {self._digest} has another digest", digest=self._digest)

    def __aiter__(self) -> AsyncIterator[bytes]:
        # A digest covers the whole blob, so a part cannot be verified.
        if self.span == Span(0, self.size_bytes):
            return verify_chunks(self._received(), self._digest, self.size_bytes, self._protocol_error)
        return self._received()

    async def _received(self) -> AsyncIterator[bytes]:
        position = resumed_at = self.span.start
        fruitless = 0
        # An open answer is read to its end even if all bytes are here, so a body that is too long is noticed.
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
        """Yield the bytes from ``position`` on, from an answer that may begin earlier."""
        skip = position - _start(answer)
        async for chunk in answer.chunks():
            piece = chunk[skip:] if skip < len(chunk) else b""
            skip -= min(skip, len(chunk))
            left = self.span.stop - position
            # An upstream may send more than the requested part, which is cut. More than the whole blob is an error.
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
                f"{self._digest} has {self.size_bytes} bytes, but no bytes from {position} on"
            ) from error
        start, size = _start(answer), whole_size(answer)
        if start not in {0, position} or size not in {None, self.size_bytes}:
            answer.close()
            raise self._protocol_error(f"{self._digest} was requested from byte {position}, but another part was sent")
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
    """Send a GET for a blob or a part of a blob.

    Returns:
        An answer with status 200, or, if a part was requested, 206 with a valid ``Content-Range``.

    Raises:
        BlobUnknown: the upstream does not have the blob.
        RangeInvalid: the part lies outside the blob.
        UpstreamFault: as :meth:`UpstreamSession.send`.
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
        raise answer.error(errors.UpstreamProtocolError, "a part was sent without a valid Content-Range")
    return answer


async def blob_size(session: UpstreamSession, repository: Repository, digest: Digest) -> int | None:
    """Return the size in bytes of a blob that the upstream has, as reported by HEAD. None if HEAD gives no size.

    Raises:
        UpstreamFault: as :meth:`UpstreamSession.send`.
    """
    expect = UNRELIABLE_STATUSES | {200}
    async with session.request(head_of_blob(repository, digest), expect=expect) as answer:
        return answer.size_bytes() if answer.status == 200 else None


def head_of_blob(repository: Repository, digest: Digest) -> Request:
    """Return the HEAD request for a blob."""
    return Request("HEAD", BlobRoute(repository, digest).url(), (repository_scope(repository, "pull"),))


def whole_size(answer: Answer) -> int | None:
    """Return the size in bytes of the whole blob that an answer belongs to. None if the answer states no size."""
    placed = parse_content_range(answer.headers.get("Content-Range"))
    if answer.status == 206 and placed is not None:
        return placed[1]
    return answer.size_bytes()


def _start(answer: Answer) -> int:
    placed = parse_content_range(answer.headers.get("Content-Range"))
    return placed[0].start if answer.status == 206 and placed is not None else 0
