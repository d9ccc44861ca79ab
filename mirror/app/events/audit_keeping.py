"""The audit of a data folder: written by one process at a time, verified and shown by commands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from mirror.app.events.event_sending import readers_of_changes
from mirror.app.services import open_store
from mirror.app.storage.upkeep_chores import Chore
from mirror.events.audit_chain import ChainEnd, change_line
from mirror.events.audit_files import AuditFiles, lines_of
from mirror.events.audit_verification import AuditVerdict, verify_audit
from mirror.events.audit_writer import READER, AuditServices, AuditWriter
from mirror.oci.errors import Busy, ConfigurationFault, MirrorError
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.signing.private_keys import PrivateKey
from mirror.signing.public_keys import PublicKey
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
_KEY: Final = "audit.key"
_MOST_READ: Final = 1000


def audit_files(settings: Settings) -> AuditFiles:
    """Return the files of the audit."""
    folder = settings.audit.path or settings.storage.path / _FOLDER
    return AuditFiles(folder.expanduser(), settings.audit.rotate)


def audit_chores(settings: Settings, store: Store) -> list[Chore]:
    """Return the background work on the audit."""
    return [partial(_keep_audit, settings, store)] if settings.audit.enabled else []


async def _keep_audit(settings: Settings, store: Store) -> None:
    """Write the audit until cancelled. One process at a time does so."""
    locks, said_at = StorageLocks(settings.storage.path.expanduser()), None
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
    known = [*checkpoints, *([ChainEnd.parse(position.mark)] if position.mark else [])]
    return await asyncio.to_thread(_verified, files, keys or [public_key(settings)], known)


async def audit_lines(settings: Settings) -> list[bytes]:
    """Return the lines of the audit, and those of changes that are not in the files yet.

    Raises:
        StorageFault: a file cannot be read.
    """
    lines = await asyncio.to_thread(_lines, audit_files(settings))
    async with open_store(settings, only_reads=True) as store:
        after = (await store.records.changes.position(READER)).change_id
        waiting = await store.records.changes.read(after, _MOST_READ)
    end = ChainEnd()
    return [*lines, *(change_line(end, change) for change in waiting)]


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
    return settings.storage.path.expanduser() / _KEY


def _verified(files: AuditFiles, keys: Sequence[PublicKey], known: Sequence[ChainEnd]) -> AuditVerdict:
    with storage_faults("read the audit"):
        return verify_audit(((path.name, lines_of(path)) for path in files.paths()), keys, known)


def _lines(files: AuditFiles) -> Iterable[bytes]:
    with storage_faults("read the audit"):
        return [line for path in files.paths() for line in lines_of(path)]
