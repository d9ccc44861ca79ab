"""An upload that must fit in quotas: small ones are checked when they are stored, others reserve their bytes."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Final, TypeVar

from mirror.filters.quota_metrics import QuotaCounter
from mirror.oci import Descriptor, Digest
from mirror.oci.errors import QuotaExceeded, StorageFault
from mirror.records.lifecycle.quotas import Push, QuotaBook
from mirror.registry.delegate import DelegatingUpload
from mirror.registry.streams import closing_stream
from mirror.registry.upload import Upload, UploadBody
from mirror.wire.ranges import Span

Result = TypeVar("Result")

#: Largest upload without a reservation, which would cost more than receiving the bytes in vain.
UNRESERVED_BYTES: Final = 1024 * 1024
#: Most bytes that an upload of unknown size reserves ahead of those received.
_AHEAD_BYTES: Final = 64 * 1024 * 1024
#: A reservation lasts an hour.
_RENEWED_AFTER_SECONDS: Final = 1200.0


async def made_as_push(
    push: Push,
    book: QuotaBook,
    counter: QuotaCounter,
    change: Callable[[], Awaitable[Result]],
    again: Callable[[], Awaitable[Result]] | None = None,
) -> Result:
    """Make a change that must fit in the quotas of a push, and count the outcome.

    Args:
        push: the push.
        book: the usage of the quotas.
        counter: counts refusals and warnings.
        change: makes the change.
        again: makes the change if it is tried again, because content was deleted meanwhile; None for ``change``.

    Raises:
        QuotaExceeded: the push does not fit.
    """
    with book.pushing(push):
        try:
            result = await _twice(push, book, change, again or change)
        except QuotaExceeded as error:
            counter.refuse(push, error)
            raise
    counter.accept(push)
    return result


async def _twice(
    push: Push, book: QuotaBook, change: Callable[[], Awaitable[Result]], again: Callable[[], Awaitable[Result]]
) -> Result:
    await book.know(push)
    try:
        return await change()
    except QuotaExceeded:
        if not await book.learn(push):
            raise
    return await again()


class ChargedUpload(DelegatingUpload):
    """Reserves the bytes of an upload.

    Args:
        inner: the wrapped upload.
        push: the push that the upload belongs to.
        book: the usage of the quotas.
        counter: counts refusals and warnings.
    """

    def __init__(self, inner: Upload, push: Push, book: QuotaBook, counter: QuotaCounter) -> None:
        super().__init__(inner)
        self._push = push
        self._book = book
        self._counter = counter
        self._reserved_bytes = 0
        self._reserved_at_seconds = 0.0
        self._refusal: QuotaExceeded | None = None

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        """Append bytes as the port defines. Raises QuotaExceeded, and drops the upload, if they do not fit."""
        try:
            async with closing_stream(chunks):
                await self.inner.append(await self._reserving(chunks, size_bytes), span, size_bytes)
        except QuotaExceeded as error:
            self._counter.refuse(self._push, error)
            await self.cancel()
            raise
        except BaseException:
            # The client may never come back. If it does, the upload reserves what it holds again.
            await self._release()
            raise
        self._counter.accept(self._push)

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        """Commit as the port defines. Raises QuotaExceeded, and drops the upload, if the blob does not fit."""

        async def store() -> Descriptor:
            if last is None:
                return await self.inner.commit(digest)
            async with closing_stream(last.chunks):
                chunks = await self._reserving(last.chunks, last.size_bytes)
                return await self.inner.commit(digest, replace(last, chunks=chunks))

        async def store_received() -> Descriptor:
            if self._refusal is not None:  # some of the bytes were not received
                raise self._refusal
            return await self.inner.commit(digest)

        try:
            return await made_as_push(self._push, self._book, self._counter, store, store_received)
        except QuotaExceeded:
            await self.cancel()
            raise
        except BaseException:
            await self._release()
            raise

    async def cancel(self) -> None:
        """Cancel as the port defines."""
        await self.inner.cancel()
        await self._release()

    async def _reserving(self, chunks: AsyncIterable[bytes], size_bytes: int | None) -> AsyncIterable[bytes]:
        """Reserve a known size, and return chunks that reserve what comes in addition."""
        if not self._push.accounts:
            return chunks
        if size_bytes is not None:
            whole_bytes = self.offset + size_bytes
            if whole_bytes <= UNRESERVED_BYTES:
                return chunks
            await self._reserve(whole_bytes)
        return self._watched(chunks)

    async def _watched(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        received = self.offset
        async with closing_stream(chunks):
            async for chunk in chunks:
                received += len(chunk)
                if received > max(self._reserved_bytes, UNRESERVED_BYTES):
                    await self._reserve_ahead(received)
                elif self._reserved_bytes and monotonic() - self._reserved_at_seconds > _RENEWED_AFTER_SECONDS:
                    await self._reserve(self._reserved_bytes)
                yield chunk
        # The transaction that stores the blob comes next, and the body may have taken long.
        await self._book.know(self._push)

    async def _reserve_ahead(self, received_bytes: int) -> None:
        """Reserve more than was received, so that few steps are needed; only what was received if no more fits."""
        ahead_bytes = min(2 * received_bytes, received_bytes + _AHEAD_BYTES)
        try:
            await self._book.know(self._push)
            await self._book.reserve(self._push, ahead_bytes)
        except QuotaExceeded:
            await self._reserve(received_bytes)
        else:
            self._reserved_bytes, self._reserved_at_seconds = ahead_bytes, monotonic()

    async def _reserve(self, size_bytes: int) -> None:
        async def reserve() -> None:
            await self._book.reserve(self._push, size_bytes)

        try:
            await _twice(self._push, self._book, reserve, reserve)
        except QuotaExceeded as error:
            self._refusal = error
            raise
        self._reserved_bytes, self._reserved_at_seconds = size_bytes, monotonic()

    async def _release(self) -> None:
        # Earlier requests of the upload have reserved what it holds.
        if self._push.accounts and max(self._reserved_bytes, self.offset) > UNRESERVED_BYTES:
            with suppress(StorageFault):  # the reservation ends by itself
                await self._book.release(self.id)
