"""Parts of a serving process that stay when the configuration is reloaded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mirror.app.bucket.bucket_metrics import bucket_updates
from mirror.app.bucket.cold_reading import reading_cold, require_own_bucket
from mirror.app.configuration.live_store import LiveImmutableTags, adapt_store
from mirror.app.configuration.serving_plan import limits_of
from mirror.app.metrics import process_updates
from mirror.app.services import open_store
from mirror.runtime.logs import LogLines
from mirror.runtime.metrics.metric_updates import MetricUpdates
from mirror.runtime.metrics.shared_metrics import WorkerSlot
from mirror.server.http.activity import Activity
from mirror.settings import Settings
from mirror.store.registry import Store


@dataclass(slots=True, eq=False)
class SharedParts:
    """Parts of a process that all of its services share, each for another configuration. Made by :func:`shared_parts`.

    Attributes:
        store: the local store.
        activity: connections and requests of the process.
        updates: functions that copy numbers of the process into the metrics.
        immutable: the tags that may not move.
        lines: log of the process.
        has_service: True if a service has served.
    """

    store: Store
    activity: Activity
    updates: MetricUpdates
    immutable: LiveImmutableTags
    lines: LogLines
    has_service: bool = False

    def use(self, settings: Settings, activity: Activity) -> None:
        """Follow the settings of the service that takes over.

        Args:
            settings: the settings.
            activity: the activity that counts the requests of the service.
        """
        self.activity, self.has_service = activity, True
        adapt_store(self.store, settings, self.immutable)


@asynccontextmanager
async def shared_parts(
    settings: Settings, slot: WorkerSlot, lines: LogLines, private_state: Path | None
) -> AsyncIterator[SharedParts]:
    """Yield the parts of a process that all of its services share.

    Args:
        settings: settings of the first service.
        slot: part of the shared memory for the process.
        lines: log of the process.
        private_state: folder of :func:`mirror.store.private_state.private_state` for a read-only server; else None.

    Raises:
        StorageFault: the store cannot be opened.
        ConfigurationFault: the bucket is that of another site.
    """
    immutable = LiveImmutableTags(settings.repositories)
    async with (
        open_store(settings, private_state=private_state, immutable=immutable) as store,
        reading_cold(store),
    ):
        activity, updates = Activity.within(limits_of(settings)), MetricUpdates()
        await require_own_bucket(store)
        updates.add(process_updates(slot, activity, store.monitoring, lines))
        updates.add(bucket_updates(slot, store))
        yield SharedParts(store, activity, updates, immutable, lines)
