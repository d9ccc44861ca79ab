"""Metrics of a serving process on ``/metrics``, each with the place where its value is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from prometheus_client.metrics_core import Metric

from mirror import __version__
from mirror.oci.errors import MirrorError
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.logs import LogLines
from mirror.runtime.metrics.metric_updates import MetricUpdates, UpdateGroup
from mirror.runtime.metrics.metrics_exposition import expose, metric, process_metrics, summed_metrics
from mirror.runtime.metrics.shared_metrics import Labels, MetricFamily, MetricKind, SharedMetrics, WorkerSlot
from mirror.server.api.request_metrics import FAMILIES as REQUEST_FAMILIES
from mirror.server.http.activity import Activity
from mirror.store.content.volume import DiskSpace
from mirror.store.monitoring import Monitoring, StoreContents
from mirror.store.registry import Store

NAMESPACE: Final = "plugin_mirror"

# Counting the content of the store reads whole indexes of the catalog, and anybody may request the page.
_CONTENTS_FRESH_SECONDS: Final = 10.0


def _counter(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"{NAMESPACE}_{name}_total", explanation, MetricKind.COUNTER)


def _gauge(name: str, explanation: str) -> MetricFamily:
    return MetricFamily(f"{NAMESPACE}_{name}", explanation, MetricKind.GAUGE)


class _Watched(NamedTuple):
    """Parts of a process whose values are copied to shared memory periodically."""

    activity: Activity
    monitoring: Monitoring
    lines: LogLines


_LOOKUPS = MetricFamily(
    f"{NAMESPACE}_cache_lookups_total",
    "Look-ups in the memory cache in front of the catalog, by kind (manifest, blob_size) and result (hit, miss).",
    MetricKind.COUNTER,
    ("kind", "result"),
    [(kind, result) for kind in ("manifest", "blob_size") for result in ("hit", "miss")],
)
#: One row for each series: the metric, the values of its labels, and the function that reads its value.
_FOLLOWED: Final[tuple[tuple[MetricFamily, Labels, Callable[[_Watched], float]], ...]] = (
    (_gauge("connections", "Open TCP connections from clients."), (), lambda seen: seen.activity.connections.count),
    (
        _counter("connections_refused", "Client connections refused because server.limits.connections were open."),
        (),
        lambda seen: seen.activity.connections.refused,
    ),
    (
        _counter(
            "client_connections_refused",
            "Connections (behind a proxy: requests) refused because one client reached "
            "server.limits.connections_per_client.",
        ),
        (),
        lambda seen: seen.activity.crowding.count,
    ),
    (
        _gauge("uploads_receiving", "Upload requests whose bodies are being received."),
        (),
        lambda seen: seen.activity.uploading.count,
    ),
    (
        _counter(
            "uploads_refused", "Upload requests refused because one client reached server.limits.uploads_per_client."
        ),
        (),
        lambda seen: seen.activity.uploading.refused,
    ),
    (
        _counter(
            "slow_transfers_aborted",
            "Request and response bodies slower than server.limits.least_body_bytes_per_second that were aborted "
            "because other clients waited.",
        ),
        (),
        lambda seen: seen.activity.dawdling.count,
    ),
    (
        _counter(
            "stalled_clients_ended",
            "Connections ended because the client read nothing of an answer, or could not be reached.",
        ),
        (),
        lambda seen: seen.activity.stalling.count,
    ),
    (
        _counter(
            "upload_sessions_refused",
            "Upload sessions refused because server.limits.upload_sessions_per_client or upload_sessions was reached.",
        ),
        (),
        lambda seen: seen.activity.beginning.count,
    ),
    (
        _counter("uploads_expired", "Upload sessions removed because no client continued them."),
        (),
        lambda seen: seen.monitoring.work.uploads_expired,
    ),
    (_LOOKUPS, ("manifest", "hit"), lambda seen: seen.monitoring.work.lookups.manifest_hits),
    (_LOOKUPS, ("manifest", "miss"), lambda seen: seen.monitoring.work.lookups.manifest_misses),
    (_LOOKUPS, ("blob_size", "hit"), lambda seen: seen.monitoring.work.lookups.blob_size_hits),
    (_LOOKUPS, ("blob_size", "miss"), lambda seen: seen.monitoring.work.lookups.blob_size_misses),
    (
        _counter(
            "catalog_transactions", "Write transactions that serving processes committed to the catalog database."
        ),
        (),
        lambda seen: seen.monitoring.work.transactions,
    ),
    (
        _counter("catalog_lock_waits", "Catalog write transactions that waited for the write lock of another process."),
        (),
        lambda seen: seen.monitoring.work.turn_waits,
    ),
    (
        _counter(
            "catalog_lock_wait_seconds",
            "Seconds that catalog write transactions waited for the write lock of other processes.",
        ),
        (),
        lambda seen: seen.monitoring.work.turn_wait_seconds,
    ),
    (
        _counter("log_lines_dropped", "Log lines dropped because standard error was not read fast enough."),
        (),
        lambda seen: seen.lines.dropped,
    ),
)
_IN_FLIGHT: Final = _gauge(
    "requests_in_flight", "HTTP requests that have begun and whose answers are not sent completely."
)
#: Metrics that processes count in shared memory. The dictionary keeps one of each family with several series.
FAMILIES: Final = (*REQUEST_FAMILIES, _IN_FLIGHT, *{family.name: family for family, _, _ in _FOLLOWED}.values())

# All processes share the store and its volume. These values are read for each page, and are not summed over workers.
_READ_FROM_CONTENTS: Final[tuple[tuple[MetricFamily, Callable[[StoreContents], float]], ...]] = (
    (_gauge("storage_bytes", "Bytes of the blobs and manifests in the store."), lambda found: found.size_bytes),
    (_gauge("storage_files", "Blobs and manifests in the store, each counted once."), lambda found: found.files),
    (
        _gauge("repositories", "Repositories in the store that hold a manifest or blob."),
        lambda found: found.repositories,
    ),
    (
        _gauge("manifests", "Manifests in the store, counted once in each repository that holds them."),
        lambda found: found.manifests,
    ),
    (_gauge("tags", "Tags in the store."), lambda found: found.tags),
    (
        _counter(
            "catalog_generation_changes",
            "Changes of the catalog by all processes since it was created; each invalidates the caches in memory.",
        ),
        lambda found: found.generation_changes,
    ),
)
_READ_FROM_ROOM: Final[tuple[tuple[MetricFamily, Callable[[DiskSpace], float]], ...]] = (
    (_gauge("volume_free_bytes", "Free bytes on the volume of the data folder."), lambda found: found.free_bytes),
    (_gauge("volume_size_bytes", "Size in bytes of the volume of the data folder."), lambda found: found.size_bytes),
    (
        _gauge(
            "volume_free_inodes",
            "Free inodes (files and folders) on the volume of the data folder; 0 if the volume has no fixed number.",
        ),
        lambda found: found.free_inodes,
    ),
    (
        _gauge("volume_inodes", "Inodes of the volume of the data folder; 0 if the volume has no fixed number."),
        lambda found: found.inodes,
    ),
    (
        _gauge("uploads_open", "Upload sessions that have begun and are neither completed nor cancelled."),
        lambda found: found.uploads,
    ),
    (_gauge("uploads_open_bytes", "Bytes on disk that open upload sessions hold."), lambda found: found.upload_bytes),
)
_BUILD = MetricFamily(
    f"{NAMESPACE}_build_info",
    "Constant 1; the label version is that of the running server.",
    MetricKind.GAUGE,
    ("version",),
)


def process_updates(slot: WorkerSlot, activity: Activity, monitoring: Monitoring, lines: LogLines) -> UpdateGroup:
    """Return the functions that copy the numbers of a process. They go on when the configuration is reloaded.

    Args:
        slot: part of the shared memory for the process, with :data:`FAMILIES`.
        activity: connections and requests of the process.
        monitoring: work of the store.
        lines: log of the process.
    """
    seen = _Watched(activity, monitoring, lines)
    return [slot.follow(family, partial(read, seen), *labels) for family, labels, read in _FOLLOWED]


def request_updates(slot: WorkerSlot, activity: Activity) -> UpdateGroup:
    """Return the function that copies the number of requests under way, earlier configurations included."""
    return [slot.follow(_IN_FLIGHT, lambda: activity.in_flight.in_all)]


class Metrics:
    """The metrics page of a serving process, with the sums over all processes.

    Args:
        shared_metrics: shared memory of all processes.
        families: the metrics in it to show.
        updates: functions that copy the values of this process to the shared memory.
        store: store whose contents and work are shown.
        more: function that returns further metrics for each page.
        always: function that returns further metrics, which are shown also if the store cannot be read.
    """

    def __init__(
        self,
        shared_metrics: SharedMetrics,
        families: Sequence[MetricFamily],
        updates: MetricUpdates,
        *,
        store: Store,
        more: Callable[[], Awaitable[list[Metric]]],
        always: Callable[[], list[Metric]] = list,
    ) -> None:
        self._store = store
        self._more = more
        self._always = always
        self._updates = updates
        self._shared_metrics = shared_metrics
        self._families = families
        self._contents: StoreContents | None = None
        self._read_at_seconds = -_CONTENTS_FRESH_SECONDS
        self._reading = asyncio.Lock()
        self._pages: SharedTasks[str, tuple[str, bytes]] = SharedTasks()

    async def page(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the bytes of the page. Values that cannot be read are left out.

        Concurrent callers share one page, because anybody may request the page and making it looks at every upload
        session.
        """
        return await self._pages.run(accept, lambda: self._page(accept))

    async def _page(self, accept: str) -> tuple[str, bytes]:
        # The other processes update their values every second, and this one is current.
        self._updates.run()
        found = [metric(_BUILD, [((__version__,), [1.0])]), *self._always()]
        try:
            contents, room = await self._read_contents(), await self._store.monitoring.room()
            found += await self._more()
        except MirrorError:
            pass  # the page leaves out the values of the store, and /readyz tells the reason
        else:
            found += [metric(family, [((), [read(contents)])]) for family, read in _READ_FROM_CONTENTS]
            found += [metric(family, [((), [read(room)])]) for family, read in _READ_FROM_ROOM]
        own = (*summed_metrics(self._shared_metrics, self._families), *process_metrics(self._shared_metrics, NAMESPACE))
        return expose((*own, *found), accept)

    async def _read_contents(self) -> StoreContents:
        # One reader at a time: callers with different Accept headers make pages of their own.
        async with self._reading:
            if self._contents is None or time.monotonic() - self._read_at_seconds >= _CONTENTS_FRESH_SECONDS:
                self._contents = await self._store.monitoring.contents()
                self._read_at_seconds = time.monotonic()
            return self._contents
