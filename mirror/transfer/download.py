"""One blob on its way here: claimed and fetched, or watched while another process fetches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog

from mirror.oci.errors import BlobUnknown, Busy, DigestInvalid, MirrorError, NotFound, UpstreamFault, UpstreamLied
from mirror.oci.names import Repository
from mirror.registry.port import ReadWriter, Unverified
from mirror.registry.streams import counted
from mirror.runtime.retry_policy import RetryPolicy
from mirror.transfer.growing import Growth
from mirror.transfer.spool import Claim, PartialBlob, Spool
from mirror.transfer.wanted import Source, Stored, Wanted, Witness
from mirror.wire.ranges import RangeRequest

_LOG = structlog.get_logger(__name__)

#: The longest pause between two looks whether another process's download has grown.
_LOOK_SECONDS: Final = 0.01
#: The pause is shorter while readers wait for the first bytes: this share of the time that they have waited so far.
_LOOK_SHARE: Final = 0.2
_FIRST_LOOK_SECONDS: Final = 0.001
#: How long nothing new comes, before it is tried whether whoever fetches it is still there.
_QUIET_SECONDS: Final = 0.05


class Download:
    """The download of one blob in this process. It may be asked for while it runs, also for other repositories.

    Args:
        wanted: what was asked for first.
        local: where it goes.
        spool: where it lies meanwhile.
        witness: told what becomes of it.
        stored: called when it is in a repository.
        retry: how long it is gone on with while its sources fail.
        places: of the downloads that may be fetched at the same time. Who waits for one claims nothing meanwhile.

    Attributes:
        growth: how far it is.
        readers: how many read it, or wait to.
        wanted: what was asked for, by the repository where it goes.
    """

    def __init__(
        self,
        wanted: Wanted,
        local: ReadWriter,
        spool: Spool,
        *,
        witness: Witness,
        stored: Stored,
        retry: RetryPolicy,
        places: asyncio.Semaphore,
    ) -> None:
        self.growth = Growth(wanted.size_bytes)
        self.readers = 0
        self._digest = wanted.digest
        self._local = local
        self._spool = spool
        self._witness = witness
        self._stored = stored
        self._retry = retry
        self._places = places
        self._has_place = False
        self.wanted = {wanted.repository: wanted}
        self._sources = dict.fromkeys(wanted.sources)
        self._from = ""
        self._watched: PartialBlob | None = None
        self._begun_at = asyncio.get_running_loop().time()

    def also(self, wanted: Wanted) -> None:
        """Have it in another repository as well, or know of another source.

        Raises:
            UpstreamLied: another size was said before.
        """
        if wanted.size_bytes != self.growth.size_bytes:
            raise UpstreamLied(
                f"{self._digest} cannot have {wanted.size_bytes} bytes and {self.growth.size_bytes} as well",
                digest=self._digest,
            )
        self.wanted[wanted.repository] = wanted
        self._sources |= dict.fromkeys(wanted.sources)

    async def run(self) -> None:
        """Bring the blob. Only cancellation leaves this; what fails is told to the readers."""
        try:
            while not await self._turn():
                pass
            await self._share()
        except asyncio.CancelledError:
            self.growth.fail(Busy(f"the download of {self._digest} was stopped; what has come of it is kept"))
            raise
        except MirrorError as error:
            _LOG.warning("download failed", digest=str(self._digest), kind=type(error).__name__, error=str(error))
            self.growth.fail(error)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end everything else
            _LOG.error("download failed unexpectedly", digest=str(self._digest), exc_info=error)
            self.growth.fail(MirrorError(f"the download of {self._digest} failed; the log has the cause"))
        finally:
            if self._has_place:
                self._places.release()

    def close(self) -> None:
        """Let go of what was read from."""
        if self._watched is not None:
            self._watched.close()

    async def _turn(self) -> bool:
        """Fetch it, or watch others do it for a while; gives whether it is here."""
        first = next(iter(self.wanted))
        claim = await self._spool.claim_download(first, self._digest)
        if claim is None:
            await self._watch()
            return False
        try:
            if await self._mount(first):
                await self._take_over(claim)
                return True
            await self._require_current()
            if self._has_place or not self._places.locked():
                await self._take_place()
                return await self._fetch(claim)
        finally:
            await claim.release()
        await self._take_place()
        if not self.readers:
            raise Busy(f"nobody waits for {self._digest} any more, and nothing of it has come")
        return False

    async def _take_place(self) -> None:
        if not self._has_place:
            await self._places.acquire()
            self._has_place = True

    async def _watch(self) -> None:
        """Follow another process's download until it seems to have ended."""
        if self._watched is None:
            self._watched = await self._spool.watch_download(self._digest)
        await self._require_current()
        loop = asyncio.get_running_loop()
        grown_at = loop.time()
        quiet_seconds = _QUIET_SECONDS if self._watched else 0.0
        while True:
            seen_bytes = self._watched_bytes
            await asyncio.sleep(self._look_seconds(loop.time()))
            if self._watched is not None and self._watched_bytes != seen_bytes:
                grown_at = loop.time()
                # Not before it grows: what was left by an earlier download may be all that ever comes.
                self.growth.open(self._watched)
            elif loop.time() - grown_at >= quiet_seconds:
                return

    def _look_seconds(self, now: float) -> float:
        if self.growth.partial is not None:
            return _LOOK_SECONDS
        return min(max((now - self._begun_at) * _LOOK_SHARE, _FIRST_LOOK_SECONDS), _LOOK_SECONDS)

    @property
    def _watched_bytes(self) -> int:
        return 0 if self._watched is None else self._watched.size_bytes

    async def _require_current(self) -> None:
        """Readers who were given bytes that turned out to be wrong must not be given others behind them."""
        if self._watched is None or await self._watched.is_current():
            return
        if self.growth.partial is not None:
            raise UpstreamLied(f"what came as {self._digest} was something else, and was dropped", digest=self._digest)
        self._watched.close()
        self._watched = None

    async def _take_over(self, claim: Claim) -> None:
        """The blob has been stored already: by another process's download, or it was here in another repository."""
        partial = self.growth.partial
        whole = partial is None or (partial.size_bytes == self.growth.size_bytes and await partial.is_current())
        await claim.drop()
        if not whole:
            raise Busy(f"{self._digest} was stored from elsewhere while it came: ask again")
        self.growth.complete()

    async def _mount(self, repository: Repository) -> bool:
        found = await self._local.mount_blob(repository, self._digest, None)
        if found is not None and found.size_bytes != self.growth.size_bytes:
            raise UpstreamLied(
                f"{self._digest} has {found.size_bytes} bytes, not {self.growth.size_bytes}", digest=self._digest
            )
        return found is not None

    async def _fetch(self, claim: Claim) -> bool:
        """Bring what is missing, and store it; gives whether that is all."""
        size_bytes = self.growth.size_bytes
        if claim.offset > size_bytes:
            await claim.drop()
            return False
        resumed = claim.offset > 0
        if claim.offset < size_bytes:
            await self._bring(claim)
        try:
            await claim.verify()
        except DigestInvalid as error:
            fault = self._blamed(error, resumed=resumed)
            self.growth.fail(fault)
            await claim.drop()
            raise fault from error
        self._open(claim)
        self.growth.complete()
        await claim.commit()
        return True

    def _blamed(self, error: DigestInvalid, *, resumed: bool) -> MirrorError:
        """Whose fault wrong content is: of what an earlier download has left, nobody can tell where it came from."""
        if resumed:
            return Busy(f"{error}; an earlier download had left a part of it, so it was dropped: ask again")
        lie = UpstreamLied(f"upstream {self._from or 'unasked'}: {error}", **error.detail)
        if self._from:  # nobody is asked for nothing, which a manifest may say that something is
            self._witness.failed(self._from, lie)
        return lie

    def _open(self, claim: Claim) -> None:
        """Let readers begin."""
        if self._watched is None:
            self._watched = claim.partial()
        self.growth.open(self._watched)

    async def _bring(self, claim: Claim) -> None:
        """Ask the sources, in their order, until one has given the rest."""
        loop = asyncio.get_running_loop()
        failures, delays, heard_at = 0, self._retry.delays(), loop.time()
        while True:
            before = claim.offset
            error = await self._ask(claim)
            if error is None:
                return
            if claim.offset > before:
                failures, delays, heard_at = 0, self._retry.delays(), loop.time()
            failures, delay_seconds = failures + 1, next(delays)
            # What nobody has been given a byte of is told at once: there may be another registry to ask.
            begun = self.growth.partial is not None
            elapsed_seconds = loop.time() + delay_seconds - heard_at
            if not begun or not error.temporary or not self._retry.allows_another(failures, elapsed_seconds):
                raise error
            await asyncio.sleep(delay_seconds)

    async def _ask(self, claim: Claim) -> MirrorError | None:
        """Ask each source once; gives why none of them gave all of the rest."""
        worst: MirrorError | None = None
        for source in tuple(self._sources):
            before = claim.offset
            try:
                await self._take(source, claim)
                if claim.offset == self.growth.size_bytes:
                    return None
                raise UpstreamLied(f"upstream {source.upstream}: {self._digest} ended after {claim.offset} bytes")
            except (UpstreamFault, NotFound) as error:
                if not isinstance(error, NotFound):
                    self._witness.failed(source.upstream, error)
                if isinstance(error, UpstreamLied) and claim.offset > before:
                    self.growth.fail(error)
                    await claim.drop()
                    raise
                if worst is None or (isinstance(worst, NotFound) and not isinstance(error, NotFound)):
                    worst = error
        return worst or BlobUnknown(f"no upstream has {self._digest}", digest=self._digest)

    async def _take(self, source: Source, claim: Claim) -> None:
        part = RangeRequest(claim.offset, None) if claim.offset else None
        async with source.registry.open_blob(source.repository, self._digest, part) as content:
            if content.size_bytes != self.growth.size_bytes:
                raise UpstreamLied(
                    f"upstream {source.upstream} has {self._digest} with {content.size_bytes} bytes, "
                    f"it should be {self.growth.size_bytes}",
                    digest=self._digest,
                )
            self._from = source.upstream
            self._open(claim)
            chunks: AsyncIterator[bytes] = content.unverified() if isinstance(content, Unverified) else aiter(content)
            taken = counted(chunks, lambda size_bytes: self._witness.received(source.upstream, size_bytes))
            await claim.append(taken, self.growth.grown)

    async def _share(self) -> None:
        """Let every other repository have it that wants it."""
        shared: set[Repository] = set()
        while waiting := [each for each in self.wanted if each not in shared]:
            for repository in waiting:
                if shared:  # the first has it
                    await self._mount(repository)
                shared.add(repository)
                await self._stored(repository, self._digest)
