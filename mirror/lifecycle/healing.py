"""Healing: gets whole bytes of damaged content from where it came from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

import structlog

from mirror.oci import Descriptor
from mirror.oci.errors import MirrorError
from mirror.oci.media_types import OCTET_STREAM
from mirror.records.lifecycle.damage import ContentUse, Damage, DamagedContent, ExaminationResult, StoredContent
from mirror.registry.port import ReadWriter
from mirror.runtime.clock import Clock
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.blob_request import Stored
from mirror.transfer.copy_engine import copy_blob
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress, SilentProgress

_LOG = structlog.get_logger(__name__)

#: Pause after the first failed attempt, which doubles with each further one, and the longest pause.
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(days=1)
_FROM_DISK: Final = "the disk"


@dataclass(frozen=True, slots=True)
class HealingSource:
    """A repository that may have whole bytes.

    Attributes:
        name: the source in messages, such as ``hub/vieux/sshfs``.
        place: the repository.
    """

    name: str
    place: CopySource


#: Returns the sources that may have content with a use, in the order in which they are asked.
FindSources: TypeAlias = Callable[[ContentUse, StoredContent], Awaitable[Sequence[HealingSource]]]


@dataclass(frozen=True, slots=True)
class HealingResult:
    """Result of an attempt to heal one piece of content.

    Attributes:
        damaged: the content.
        use: what needs it.
        source: name of the source that had whole bytes; empty if none had.
        error: why no source had; empty if one had.
    """

    damaged: DamagedContent
    use: ContentUse
    source: str = ""
    error: str = ""


class Healer:
    """Heals damaged content. The bytes are verified and stored as those of a push are.

    Args:
        damage: what is damaged.
        destination: the store.
        locks: locks of the blobs that this process copies, and the leases of the store.
        sources: finds sources.
        arrived: called for each repository that has healed content. Pulled-through manifests may have waited for it.
        clock: the time of day.
        progress: receives the bytes copied.
    """

    def __init__(
        self,
        damage: Damage,
        destination: ReadWriter,
        locks: BlobLocks,
        sources: FindSources,
        *,
        arrived: Stored,
        clock: Clock,
        progress: Progress | None = None,
    ) -> None:
        self._damage = damage
        self._destination = destination
        self._locks = locks
        self._sources = sources
        self._arrived = arrived
        self._clock = clock
        self._progress = progress or SilentProgress()

    async def heal_suspects(self) -> Sequence[HealingResult]:
        """Examine what reads of this process found damaged, and heal it. Raises StorageFault, CatalogFault."""
        found = False
        for digest in self._damage.take_suspects():
            content = await self._damage.find_stored(digest)
            if content is not None:
                found |= await self._damage.examine(content, _at_full_speed) is ExaminationResult.DAMAGED
        return await self.heal_due() if found else ()

    async def heal_due(self) -> Sequence[HealingResult]:
        """Try to heal all damaged content whose pause is over. Raises StorageFault, CatalogFault."""
        now = self._clock.now()
        waiting = await self._damage.damaged()
        due = [each for each in waiting if each.last_attempt_at is None or now - each.last_attempt_at >= _pause(each)]
        return await self._heal(due)

    async def heal_all(self) -> Sequence[HealingResult]:
        """Try to heal all damaged content now. Raises StorageFault, CatalogFault."""
        return await self._heal(await self._damage.damaged())

    async def _heal(self, waiting: Sequence[DamagedContent]) -> Sequence[HealingResult]:
        results = []
        for damaged in waiting:
            content = StoredContent(damaged.digest, damaged.size_bytes)
            use = await self._damage.use_of(damaged.digest)
            if not use.repositories:
                continue  # the collection will remove it
            # An operator may have brought the file back, or a push may have come since.
            found = await self._damage.examine(content, _at_full_speed)
            if found is ExaminationResult.GONE:
                continue
            if found in {ExaminationResult.WHOLE, ExaminationResult.CORRECTED}:
                source, error = _FROM_DISK, ""
            else:
                source, error = await self._fetch(content, use)
            if source:
                await self._damage.count_healed()
                for repository in use.repositories:
                    await self._arrived(repository, damaged.digest)
                _LOG.info("damaged content healed", digest=str(damaged.digest), source=source)
            else:
                await self._damage.note_attempt(damaged.digest, error)
                _LOG.warning("damaged content not healed", digest=str(damaged.digest), error=error, tags=use.tags[:10])
            results.append(HealingResult(damaged, use, source, error))
        return results

    async def _fetch(self, content: StoredContent, use: ContentUse) -> tuple[str, str]:
        """Return the name of the source that had the content, or why none had."""
        failures = []
        for source in await self._sources(use, content):
            try:
                await self._fetch_from(source.place, content, use)
            except MirrorError as error:
                failures.append(f"{source.name}: {error}")
            else:
                return source.name, ""
        return "", "; ".join(failures) or "nothing that may be asked has it"

    async def _fetch_from(self, source: CopySource, content: StoredContent, use: ContentUse) -> None:
        digest = content.digest
        if use.is_manifest:
            manifest = await source.registry.get_manifest(source.repository, digest)
            await self._damage.restore_manifest(digest, manifest.content)
            return
        destination = CopyDestination(self._destination, use.repositories[0])
        # The size of the source, because that in the catalog may be damaged too. The digest decides.
        size_bytes = (await source.registry.stat_blob(source.repository, digest)).size_bytes
        blob = Descriptor(OCTET_STREAM, digest, size_bytes)
        await copy_blob(source, destination, blob, self._progress, self._locks)


async def _at_full_speed(_size_bytes: int) -> None:
    """Read on at once."""


def _pause(damaged: DamagedContent) -> timedelta:
    return min(_FIRST_PAUSE * (1 << min(damaged.attempts, 11)), _LONGEST_PAUSE)
