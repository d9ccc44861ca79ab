"""Budget of pull-through, built from the settings, and its figures for reports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog

from mirror.lifecycle.collector import Collector
from mirror.lifecycle.pull_budget import PullBudget, StorageRoom
from mirror.oci.errors import MirrorError
from mirror.oci.timestamps import machine_time
from mirror.records.lifecycle.pulled_content import Refetchable
from mirror.records.lifecycle.reviews import CollectionRules, Grace, ReviewCause
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.settings.pull_through_settings import WhenFull
from mirror.store.registry import Store
from mirror.store.work_locks import StorageLocks

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
#: Name of the lock, as part of an error message.
_EVICTION: Final = "eviction"
#: Looking at the disk costs one call of the system.
_PERIOD_SECONDS: Final = 5.0
_PERIODS_OF_THE_BUDGET: Final = 12
#: Decisions about anything but evicted content are left to the collection.
_NEVER: Final = timedelta(days=36500)
_AT_ONCE: Final = CollectionRules(Grace(_NEVER, {ReviewCause.EVICTED: timedelta(0)}, bytes=timedelta(0)))


def pull_budget(settings: Settings, store: Store, refetchable: Refetchable) -> PullBudget:
    """Return the configured budget.

    Args:
        settings: settings of the process.
        store: the store.
        refetchable: returns the upstreams from which a repository can be pulled again.
    """
    section = settings.pull_through
    locks = StorageLocks(settings.storage.path.expanduser())
    # Beside the collection, which may work for long. Each of its steps is one transaction, and so is each step here.
    collector = Collector(store.records.reviews, _AT_ONCE, store.uploads.repositories, _CLOCK)
    return PullBudget(
        store.records.pulled_contents,
        section.keep.limits(),
        refetchable,
        StorageRoom(
            store.monitoring.missing_bytes, collector.collect, store.downloads.under_way, partial(locks, _EVICTION)
        ),
        _CLOCK,
        when_full=section.when_full is WhenFull.EVICT,
    )


async def keep_budget(budget: PullBudget) -> None:
    """Keep a budget until cancelled: the disk is looked at every few seconds, the limits every minute."""
    rounds = 0
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        rounds += 1
        work = budget.keep_within if rounds % _PERIODS_OF_THE_BUDGET == 0 else budget.relieve
        try:
            await work()
        except MirrorError as error:
            # The next round tries again. A failed round must not end the budget for good.
            _LOG.error("pulled content could not be evicted", error=str(error), **error.detail)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the task group, and with it all downloads
            _LOG.error("pulled content could not be evicted: unexpected error", exc_info=error)


async def budget_report(settings: Settings, store: Store) -> Mapping[str, Any]:
    """Return the figures of the budget for reports. Raises CatalogFault."""
    limits, record = settings.pull_through.keep.limits(), await store.records.pulled_contents.record()
    last = record.last_emergency_at
    return {
        "used_bytes": record.used_bytes,
        "budget_bytes": limits.size_bytes,
        "unused_for_seconds": None if limits.unused_for is None else int(limits.unused_for.total_seconds()),
        "tags": record.tags,
        "counted_at": None if record.counted_at is None else machine_time(record.counted_at),
        "evicted": {"tags": record.evicted_tags, "size_bytes": record.evicted_bytes},
        "emergencies": record.emergencies,
        "last_emergency_at": None if last is None else machine_time(last),
    }
