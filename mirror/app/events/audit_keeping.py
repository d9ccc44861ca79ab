"""The audit of a data folder: written by one process at a time, verified and shown by commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog

from mirror.app.events.event_sending import readers_of_changes
from mirror.app.services import open_store
from mirror.app.storage.upkeep_chores import Chore
from mirror.events.audit_chain import AuditPlace, ChainEnd, change_entry, entry_of
from mirror.events.audit_files import AuditFiles
from mirror.events.audit_verification import AuditVerdict, verify_audit
from mirror.events.audit_writer import READER, AuditServices, AuditWriter
from mirror.oci.errors import Busy, ConfigurationFault, MirrorError
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.signing.private_keys import PrivateKey
from mirror.signing.public_keys import PublicKey
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from mirror.store.storage_errors import storage_faults
from mirror.store.work_locks import StorageLocks

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_LOCK: Final = "audit"
_PERIOD_SECONDS: Final = 1.0
#: An audit that cannot be written is logged this often.
_SAID_AGAIN_SECONDS: Final = 60.0
_FOLDER: Final = "audit"
_MOST_READ: Final = 1000

#: An entry of the audit, as an object.
Entry: TypeAlias = Mapping[str, Any]


def audit_files(settings: Settings) -> AuditFiles:
    """Return the files of the audit."""
    folder = settings.audit.path or settings.storage.path / _FOLDER
    return AuditFiles(folder, settings.audit.rotate)


def audit_chores(settings: Settings, store: Store) -> list[Chore]:
    """Return the background work on the audit."""
    return [partial(_keep_audit, settings, store)] if settings.audit.enabled else []


async def _keep_audit(settings: Settings, store: Store) -> None:
    """Write the audit until cancelled. One process at a time does so."""
    locks, said_at = StorageLocks(settings.storage.path), None
    while True:
        try:
            async with locks(_LOCK):
                writer = AuditWriter(await _services(settings, store))
                while True:
                    await writer.take()
                    said_at = None
                    await asyncio.sleep(_PERIOD_SECONDS)
        except Busy:
            pass  # another process writes it
        except (MirrorError, OSError, ValueError) as error:
            # The changes wait in the catalog, and the next round tries again.
            now = _CLOCK.monotonic_seconds()
            if said_at is None or now - said_at >= _SAID_AGAIN_SECONDS:
                _LOG.error("audit could not be written", error=str(error), waiting="the changes are kept until it can")
                said_at = now
        await asyncio.sleep(_PERIOD_SECONDS)


async def verified_audit(
    settings: Settings, keys: Sequence[PublicKey], checkpoints: Sequence[ChainEnd]
) -> AuditVerdict:
    """Verify the audit.

    Args:
        settings: settings of the data folder.
        keys: keys that sign checkpoints; none for the key of the data folder.
        checkpoints: ends of the chain that are known from elsewhere.

    Raises:
        ConfigurationFault: there is no audit.
        StorageFault: a file cannot be read.
    """
    files = audit_files(settings)
    async with open_store(settings, only_reads=True) as store:
        position = await store.records.changes.position(READER)
    if not position.mark and not files.paths():
        raise ConfigurationFault(
            "there is no audit yet; fix: start 'plugin-mirror serve', which writes it unless audit.enabled is false"
        )
    place = AuditPlace.parse(position.mark) if position.mark else AuditPlace()
    return await asyncio.to_thread(_verified, files, keys or [public_key(settings)], [*checkpoints, place.end], place)


async def audit_entries(settings: Settings, wanted: Callable[[Entry], bool]) -> list[Entry]:
    """Return entries of the audit, and then those of changes that are not in the files yet.

    Args:
        settings: settings of the data folder.
        wanted: returns True for entries that are returned.

    Raises:
        StorageFault: a file cannot be read.
    """
    async with open_store(settings, only_reads=True) as store:
        position = await store.records.changes.position(READER)
        waiting, after = dict[int, Entry](), position.change_id
        while changes := await store.records.changes.read(after, _MOST_READ):
            after = changes[-1].id
            waiting |= {one.id: entry for one in changes if wanted(entry := change_entry(one))}
    known = AuditPlace.parse(position.mark).end.seq if position.mark else None
    return await asyncio.to_thread(_entries, audit_files(settings), wanted, waiting, known)


def public_key(settings: Settings) -> PublicKey:
    """Return the public key that verifies checkpoints. Raises ConfigurationFault without a key. Blocks."""
    path = _key_path(settings)
    with storage_faults("read the key of the audit"):
        if not path.exists():
            raise ConfigurationFault(f"there is no {path}; fix: start 'plugin-mirror serve' once, which makes it")
        return PrivateKey.parse_pem(path.read_bytes(), str(path)).public


async def _services(settings: Settings, store: Store) -> AuditServices:
    path = _key_path(settings)
    content = await store.audit_key(lambda: PrivateKey.new(path.name).to_pem())
    key = PrivateKey.parse_pem(content, str(path))
    files, readers = audit_files(settings), readers_of_changes(settings)
    return AuditServices(store.records.changes, files, key, _CLOCK, settings.audit.kept_for, readers)


def _key_path(settings: Settings) -> Path:
    return DataLayout(settings.storage.path).audit_key


def _verified(
    files: AuditFiles, keys: Sequence[PublicKey], known: Sequence[ChainEnd], place: AuditPlace
) -> AuditVerdict:
    with storage_faults("read the audit"):
        return verify_audit(files.read(), keys, known, place.begin)


def _entries(
    files: AuditFiles, wanted: Callable[[Entry], bool], waiting: dict[int, Entry], known: int | None
) -> list[Entry]:
    """Return entries of the files, and those that wait. The server may have written some of these meanwhile."""
    found = []
    with storage_faults("read the audit"):
        for entry in (entry_of(line) for _, lines in files.read() for line in lines):
            if known is not None and entry.get("seq", 0) > known:
                waiting.pop(entry.get("change", 0), None)
            if wanted(entry):
                found.append(entry)
    return [*found, *waiting.values()]
