"""Copies into a store where pulls may fetch the same blob: the holder of the lease fetches it for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.errors import DigestInvalid
from mirror.transfer.partial_store import DownloadLease, PartialStore
from mirror.wire.ranges import Span

_POLL_SECONDS: Final = 0.05


class LeasedUpload:
    """A lease as an upload. Implements :class:`mirror.registry.port.Upload`; its id is not for ``resume_upload``."""

    def __init__(self, claim: DownloadLease, digest: Digest) -> None:
        self.id = str(digest)
        self._claim = claim

    @property
    def offset(self) -> int:
        """Bytes held, those of earlier holders included."""
        return self._claim.offset

    async def append(self, chunks: AsyncIterable[bytes], span: Span | None = None) -> None:
        """As the port says, without ``span``."""
        await self._claim.append(chunks, lambda: None)

    async def commit(self, digest: Digest) -> Descriptor:
        """As the port says."""
        try:
            await self._claim.verify()
        except DigestInvalid:
            await self._claim.drop()
            raise
        return await self._claim.commit()

    async def cancel(self) -> None:
        """As the port says."""
        await self._claim.drop()


@asynccontextmanager
async def leased_upload(partials: PartialStore, repository: Repository, digest: Digest) -> AsyncIterator[LeasedUpload]:
    """Wait for the lease of a blob, and hold it until the block ends.

    The holder before may have stored the blob by then. What has come is kept where the upload does not end.
    """
    while (claim := await partials.claim_download(repository, digest)) is None:  # noqa: ASYNC110 - no process tells others
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield LeasedUpload(claim, digest)
    finally:
        await claim.release()
