"""Upload session, through which bytes become a blob of a registry."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Protocol

from mirror.oci import Descriptor, Digest
from mirror.wire.ranges import Span


@dataclass(frozen=True, slots=True)
class UploadBody:
    """Bytes for an upload session, with what their sender has announced about them.

    Attributes:
        chunks: the bytes, in chunks of any size.
        span: position in the blob; None to append at the end of the session.
        size_bytes: size of all chunks; None if unknown.
    """

    chunks: AsyncIterable[bytes]
    span: Span | None = None
    size_bytes: int | None = None


class Upload(Protocol):
    """An upload session. It outlives this object and the process: ``Writer.resume_upload`` finds it by ``id``.

    Attributes:
        id: the session's id within its repository, usable in a URL.
        offset: number of bytes held.
    """

    @property
    def id(self) -> str: ...
    @property
    def offset(self) -> int: ...

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        """Append bytes to the session.

        If ``chunks`` raises or the caller is cancelled, the chunks received until then are kept. A generator passed as
        ``chunks`` is closed at the end.

        Args:
            chunks: the bytes, in chunks of any size.
            span: the position announced by the client; None to append at ``offset``.
            size_bytes: the announced size of ``chunks``; None if unknown. If this size does not fit, no chunk is taken.

        Raises:
            RangeInvalid: ``span`` does not begin at ``offset``, or differs in length from ``chunks``. The session is
                unchanged.
            UploadInvalid: another request is writing to the session.
            UploadUnknown: the session was committed or cancelled, or has expired.
            ContentTooLarge, StorageFull: a limit is exceeded, or no space is left. The session is unchanged.
        """
        ...

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        """Make the bytes a blob of the repository, durably, and end the session.

        If ``last`` is given, append it first, as :meth:`append` does. A store lets no other request write in between.

        Raises:
            DigestInvalid: the bytes have another digest. The session is gone.
            UploadInvalid: another request is writing to the session.
            UploadUnknown: the session was committed or cancelled, or has expired.
            StorageFull: no space is left. The session is unchanged.
            StorageFault: the disk failed. The session may be gone.
        """
        ...

    async def cancel(self) -> None:
        """End the session and drop its bytes. Do nothing if the session has already ended.

        Raises:
            UploadInvalid: another request is writing to the session.
        """
        ...
