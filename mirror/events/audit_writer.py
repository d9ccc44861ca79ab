"""Takes changes from the catalog into the files of the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from mirror.events.audit_chain import AuditPlace, ChainEnd, checkpoint_line, lines_after
from mirror.events.audit_files import AuditFiles, change_of, end_of, seq_of
from mirror.records.changes.change import ChangeLog, ReaderPosition
from mirror.runtime.clock import Clock
from mirror.signing.private_keys import PrivateKey

_LOG = structlog.get_logger(__name__)

#: Name of the audit among the readers of changes.
READER: Final = "audit"
_MOST_CHANGES: Final = 500
#: A checkpoint follows after this many entries, and after this time if there are new entries.
_MOST_UNSIGNED: Final = 1000
_SIGNED_WITHIN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class AuditServices:
    """Services of an audit.

    Attributes:
        log: recorded changes.
        files: files of the audit.
        key: key that signs checkpoints.
        clock: source of the current time.
        keep: time for which former files are kept; None for no end.
        readers: names of all readers of changes.
    """

    log: ChangeLog
    files: AuditFiles
    key: PrivateKey
    clock: Clock
    keep: timedelta | None = None
    readers: Sequence[str] = (READER,)


class AuditWriter:
    """Appends changes to an audit. One process at a time may do so."""

    def __init__(self, services: AuditServices) -> None:
        self._services = services
        self._position: ReaderPosition | None = None
        self._place = AuditPlace()
        self._unsigned = 0
        self._signed_at = services.clock.monotonic_seconds()

    async def take(self) -> int:
        """Append all changes that wait. Return their number.

        A change stays in the catalog until its line is durable.

        Raises:
            OSError: the disk failed or is full. The changes stay, and the next call tries again.
            MirrorError: the catalog failed.
        """
        if self._position is None:
            self._position = await self._continue()
        taken = 0
        while waiting := await self._services.log.read(self._position.change_id, _MOST_CHANGES):
            lines, end = lines_after(self._place.end, waiting)
            await self._append(lines, replace(self._place, end=end), waiting[-1].id)
            self._unsigned += len(waiting)
            taken += len(waiting)
            if self._unsigned >= _MOST_UNSIGNED:
                await self.sign()
        is_due = self._services.clock.monotonic_seconds() - self._signed_at >= _SIGNED_WITHIN.total_seconds()
        if self._unsigned and is_due:
            await self.sign()
        return taken

    async def sign(self) -> None:
        """Append a checkpoint, if there are entries after the last one.

        Then begin a new file if the current one is full, and remove files that are too old.
        """
        if self._position is None or not self._unsigned:
            return
        services, now, place = self._services, self._services.clock.now(), self._place
        expired: Sequence[Path] = []
        if services.keep is not None:
            expired, begin = await asyncio.to_thread(services.files.expired, now - services.keep)
            place = replace(place, begin=max(begin, place.begin)) if expired else place
        line = checkpoint_line(place, now, services.key)
        await self._append(line + b"\n", replace(place, end=place.end.after(line)), self._position.change_id)
        self._unsigned, self._signed_at = 0, services.clock.monotonic_seconds()
        # Logs leave the machine more often than files do: who has this line can tell later if the audit was rewritten.
        _LOG.info("audit checkpoint", entry=self._place.end.seq, checkpoint=str(self._place.end))
        await asyncio.to_thread(services.files.begin_file_if_full)
        for path in expired:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        if expired:
            _LOG.info("audit files removed", count=len(expired), last=expired[-1].name)

    async def _append(self, lines: bytes, place: AuditPlace, change_id: int) -> None:
        services, position = self._services, ReaderPosition(change_id, str(place))
        await asyncio.to_thread(services.files.append, lines)
        # What the files have is what counts from here on, also if the catalog fails now.
        self._position, self._place = position, place
        await services.log.advance(READER, position, services.readers)

    async def _continue(self) -> ReaderPosition:
        """Find the place at which the audit goes on."""
        services = self._services
        position, lines = await services.log.position(READER), await asyncio.to_thread(services.files.last_lines)
        if not position.mark:
            # The first start with an audit, or with a catalog that was made anew: the files go on.
            last = ChainEnd(seq_of(lines[-1]) - 1).after(lines[-1]) if lines else ChainEnd()
            self._place = AuditPlace(last, await asyncio.to_thread(services.files.first_seq))
            begun = ReaderPosition(position.change_id, str(self._place))
            await services.log.advance(READER, begun, services.readers)
            return begun
        place = AuditPlace.parse(position.mark)
        known = place.end
        end = end_of(lines, known)
        if end is None:
            # The files were cut or changed. The chain goes on from the end that the catalog knows, so that it shows.
            _LOG.error("audit does not have its last entry", entry=known.seq, fix="run 'plugin-mirror audit verify'")
            end = known
        self._place, more = replace(place, end=end), end.seq - known.seq
        # A crash has left these lines in the files, and their changes in the catalog.
        change_id = max([position.change_id, *map(change_of, lines[len(lines) - more :])])
        self._unsigned = more
        return ReaderPosition(change_id, str(self._place))
