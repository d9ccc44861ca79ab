"""Copies into a store whose blobs may be pulled at the same time: only the holder of a lease downloads the blob."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.errors import DigestInvalid
from mirror.registry.upload import UploadBody
from mirror.transfer.partial_store import DownloadLease, PartialStore
from mirror.wire.ranges import Span

#: Interval between two attempts to get a lease. Leases are file locks, and no process tells another of a release.
_POLL_SECONDS: Final = 0.05


class LeasedUpload:
    """A lease in the form of an upload. Implements :class:`mirror.registry.port.Upload`.

    Its id is the digest and cannot be passed to ``resume_upload``.
    """

    def __init__(self, claim: DownloadLease, digest: Digest) -> None:
        self.id = str(digest)
        self._claim = claim

    @property
    def offset(self) -> int:
        """Bytes held, including bytes received by earlier holders."""
        return self._claim.offset

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        """Append bytes as the port defines. ``span`` is ignored."""
        if size_bytes is not None:
            await self._claim.expect(self.offset + size_bytes)
        await self._claim.append(chunks, lambda: None)

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        """Verify and commit the blob as the port defines. Bytes with another digest are dropped."""
        if last is not None:
            await self.append(last.chunks, last.span, last.size_bytes)
        # Wrong bytes must go before the lease does: the next holder would continue after them.
        try:
            await self._claim.verify()
        except DigestInvalid:
            await self._claim.drop()
            raise
        return await self._claim.commit()

    async def cancel(self) -> None:
        """Drop the bytes as the port defines."""
        await self._claim.drop()


@asynccontextmanager
async def leased_upload(partials: PartialStore, repository: Repository, digest: Digest) -> AsyncIterator[LeasedUpload]:
    """Wait for the lease of a blob, and hold the lease until the block ends.

    An earlier holder may have stored the blob in the meantime. Received bytes are kept if the upload does not complete.
    """
    while (claim := await partials.claim_download(repository, digest)) is None:  # noqa: ASYNC110 - no process tells others
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield LeasedUpload(claim, digest)
    finally:
        await claim.release()
