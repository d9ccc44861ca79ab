"""Streams of bundles: what a store has imported of them."""

from __future__ import annotations

from datetime import datetime

from mirror.app.services import open_store
from mirror.bundle.stream_status import StreamStatus
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store

_CLOCK = SystemClock()


async def imported_streams(settings: Settings) -> list[StreamStatus]:
    """Return the status of each stream that the data folder has imported, as :func:`stream_statuses`.

    Raises:
        ConfigurationFault: there is no data folder.
        StorageFault: the store cannot be opened.
    """
    async with open_store(settings, only_reads=True) as store:
        return await stream_statuses(settings, store, _CLOCK.now())


async def stream_statuses(settings: Settings, store: Store, now: datetime) -> list[StreamStatus]:
    """Return the status of each stream that a store has imported, by name.

    Args:
        settings: limits for the age of bundles.
        store: the store.
        now: the current time.
    """
    limits = settings.bundles.limits()
    return [StreamStatus.of_imported(state, now, limits) for state in await store.records.bundle_trust.list_streams()]
