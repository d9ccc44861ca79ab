"""Background work that keeps a snapshot of the names in the catalog, for ``recover``."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

import structlog

from mirror.oci.errors import Busy, MirrorError
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.content.data_layout import DataLayout
from mirror.store.recovery.names_snapshot import snapshot_generation, write_names
from mirror.store.registry import Store
from mirror.store.storage_threads import in_thread
from mirror.store.work_locks import StorageLocks

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
#: Least time between two snapshots, as a multiple of the time that one takes.
_PAUSES: Final = 100.0


async def keep_names(settings: Settings, store: Store) -> None:
    """Write a snapshot after changes until cancelled, in one process at a time."""
    layout = DataLayout(settings.storage.path)
    locks = StorageLocks(layout.root)
    period_seconds = pause_seconds = settings.storage.names_snapshot_minutes * 60
    while True:
        await asyncio.sleep(pause_seconds)
        pause_seconds = period_seconds
        try:
            async with locks("names"):
                took_seconds = await snapshot_if_changed(layout, store)
        except Busy:
            continue  # another process writes it
        except MirrorError as error:
            # The earlier snapshot stays. A catalog that cannot be read is told here first.
            _LOG.error("snapshot of names not written", error=str(error), **error.detail)
        else:
            pause_seconds = max(period_seconds, took_seconds * _PAUSES)


async def snapshot_if_changed(layout: DataLayout, store: Store) -> float:
    """Write the snapshot, unless the catalog is as it was at the last one.

    Args:
        layout: the data folder.
        store: its open store.

    Returns:
        The time in seconds that this took.

    Raises:
        CatalogFault, StorageFault: the catalog cannot be read, or the snapshot cannot be written.
    """
    began_seconds = monotonic()
    # Taken before the rows are read. If it changes meanwhile, the next round writes again.
    generation = store.services.catalog.generation.current
    if await in_thread("read the snapshot of names", snapshot_generation, layout) == generation:
        return 0.0
    await in_thread("write the snapshot of names", write_names, layout, generation, _CLOCK.now())
    return monotonic() - began_seconds
