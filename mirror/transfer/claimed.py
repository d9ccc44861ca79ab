"""A blob that is copied to where others may be fetching it as well: who has the claim brings it, for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import DigestInvalid
from mirror.oci.names import Repository
from mirror.transfer.spool import Claim, Spool
from mirror.wire.ranges import Span

_LOOK_SECONDS: Final = 0.05


class ClaimedUpload:
    """A claim as an upload. Implements :class:`mirror.registry.port.Upload`; it cannot be found again by its id."""

    def __init__(self, claim: Claim, digest: Digest) -> None:
        self.id = str(digest)
        self._claim = claim

    @property
    def offset(self) -> int:
        """Bytes held, also those that whoever had the claim before has left."""
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
async def claimed(spool: Spool, repository: Repository, digest: Digest) -> AsyncIterator[ClaimedUpload]:
    """Be the only one who fetches a blob, as soon as nobody else does, in whichever process.

    Who had the claim before may have stored the blob by then. Left without an end, what has come is kept.
    """
    while (claim := await spool.claim_download(repository, digest)) is None:  # noqa: ASYNC110 - no process tells others
        await asyncio.sleep(_LOOK_SECONDS)
    try:
        yield ClaimedUpload(claim, digest)
    finally:
        await claim.release()
