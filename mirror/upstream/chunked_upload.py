"""Blob uploads to an upstream (distribution-spec, "Pushing a blob in chunks")."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterable
from contextlib import suppress

from mirror.oci import Descriptor, Digest, Repository, errors
from mirror.oci.media_types import OCTET_STREAM
from mirror.registry.streams import closing_stream, count_chunks
from mirror.registry.upload import UploadBody
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_session import UpstreamSession
from mirror.wire.auth.scopes import repository_scope
from mirror.wire.ranges import Span, parse_upload_range
from mirror.wire.routes import closing_url

_DONE = frozenset({200, 201, 202, 204})
#: Longest chunk with a ``span``, in bytes. Such a chunk is buffered in memory, because the upstream must not receive
#: a chunk whose length differs from its Content-Range.
MAX_CHUNK_BYTES = 64 * 1024 * 1024


class UpstreamUpload:
    """An upload session of an upstream. Implements :class:`mirror.registry.port.Upload`.

    The ``id`` contains the last ``Location`` given by the upstream. So the id stays valid after a restart of this
    process, as long as the upstream keeps the upload session. A chunk with a ``span`` is sent only after all its bytes
    have arrived.
    """

    def __init__(
        self, session: UpstreamSession, repository: Repository, location: str, offset: int | None = None
    ) -> None:
        self._session = session
        self._repository = repository
        self._location = location
        self._offset = offset or 0
        self._certain = offset is not None

    @property
    def id(self) -> str:
        return urlsafe_b64encode(f"{self._repository} {self._location}".encode()).decode().rstrip("=")

    @property
    def offset(self) -> int:
        return self._offset

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        if span is None:
            await self.synchronize()
            # The HTTP client reads the stream in a task of its own, and only that task may close the stream.
            await self._patch(chunks, {})
            return
        async with closing_stream(chunks):
            await self.synchronize()
            if span.start != self._offset:
                raise errors.RangeInvalid(
                    f"chunk begins at byte {span.start}, but the upload session holds {self._offset} bytes",
                    offset=self._offset,
                )
            await self._patch(await _whole(chunks, span), {"Content-Range": span.chunk_range()})

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        if last is not None:
            await self.append(last.chunks, last.span, last.size_bytes)
        await self.synchronize()
        request = self._request("PUT", body=b"", url=closing_url(self._location, digest))
        try:
            async with self._session.request(request, expect=_DONE, missing=errors.UploadUnknown) as answer:
                said = answer.headers.get("Docker-Content-Digest")
                if said and said != str(digest) and said.startswith(digest.algorithm):
                    raise answer.error(
                        errors.UpstreamProtocolError, f"it stored digest {said[:140]} instead of {digest}"
                    )
        except errors.DigestInvalid:
            with suppress(errors.MirrorError):  # docker-registry 2.8 keeps the useless upload session
                await self.cancel()
            raise
        return Descriptor(OCTET_STREAM, digest, self._offset)

    async def cancel(self) -> None:
        with suppress(errors.UploadUnknown):  # the upload session has ended already
            async with self._session.request(self._request("DELETE"), expect=_DONE, missing=errors.UploadUnknown):
                pass

    async def synchronize(self) -> None:
        """Ask the upstream for the current offset, if the last chunk did not complete."""
        if self._certain:
            return
        async with self._session.request(self._request("GET"), expect=_DONE, missing=errors.UploadUnknown) as answer:
            self._follow(answer)
            self._offset = self._held_bytes(answer)
        self._certain = True

    async def _patch(self, body: AsyncIterable[bytes] | bytes, headers: dict[str, str]) -> None:
        expected = self._offset

        def count(size_bytes: int) -> None:
            nonlocal expected
            expected += size_bytes

        if isinstance(body, bytes):
            count(len(body))
        else:
            body = count_chunks(body, count)
        # If the request fails or is cancelled, any number of bytes may have arrived. The next call asks for the offset.
        self._certain = False
        request = self._request("PATCH", body=body, headers={"Content-Type": OCTET_STREAM, **headers})
        async with self._session.request(request, expect=_DONE, missing=errors.UploadUnknown) as answer:
            self._follow(answer)
            held = self._held_bytes(answer) if "Range" in answer.headers else expected
            # ``Range: 0-0`` means one byte, but registries also send it for an empty upload.
            if held < expected and (held, expected) != (0, 1):
                raise answer.error(
                    errors.UpstreamProtocolError, f"the upload session holds {held} bytes after {expected} were sent"
                )
        self._offset = max(held, expected)  # another client may have written to the same upload session
        self._certain = True

    def _request(
        self,
        method: str,
        *,
        url: str | None = None,
        body: AsyncIterable[bytes] | bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Request:
        scopes = (repository_scope(self._repository, "pull", "push"),)
        bulk = isinstance(body, AsyncIterable)
        return Request(method, url or self._location, scopes, headers or {}, body, bulk=bulk)

    def _follow(self, answer: Answer) -> None:
        if location := answer.headers.get("Location"):
            self._location = self._session.addresses.relative(self._location, location)

    def _held_bytes(self, answer: Answer) -> int:
        with self._session.as_upstream_error(answer):
            return parse_upload_range(answer.headers.get("Range"))


def location_of(upload_id: str, repository: Repository) -> str:
    """Return the upload location contained in an upload's ``id``.

    Raises:
        UploadUnknown: the id is malformed, belongs to another repository, or names another host.
    """
    try:
        decoded = urlsafe_b64decode(upload_id + "=" * (-len(upload_id) % 4)).decode()
    except ValueError:
        decoded = ""
    # The id comes back from a client. A location with a host would let the client choose the destination of our
    # requests.
    name, _, location = decoded.partition(" ")
    if name != repository.name or not location.startswith("/") or location.startswith("//"):
        raise errors.UploadUnknown(f"{repository} has no upload {upload_id[:64]}", name=repository)
    return location


async def _whole(chunks: AsyncIterable[bytes], span: Span) -> bytes:
    if span.size_bytes > MAX_CHUNK_BYTES:
        raise errors.ContentTooLarge(
            f"chunk of {span.size_bytes} bytes is longer than {MAX_CHUNK_BYTES} bytes; "
            "fix: send smaller chunks, or a stream without Content-Range",
            limit_bytes=MAX_CHUNK_BYTES,
        )
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > span.size_bytes:
            break
    if len(content) != span.size_bytes:
        raise errors.RangeInvalid(f"chunk {span.chunk_range()} has another length than announced", offset=span.start)
    return bytes(content)
