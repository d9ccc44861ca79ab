"""Scrub and healing, for the server's background work and for commands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from mirror.app.bundles.bundle_opening import open_bundle
from mirror.app.services import Services, open_services
from mirror.app.storage.integrity.healing_places import HealingPlaces
from mirror.lifecycle.healing import Healer, HealingResult
from mirror.lifecycle.scrub import Pacer, Scrubber
from mirror.lifecycle.scrub_report import ScrubReport
from mirror.oci.errors import Busy, ConfigurationFault, MirrorError
from mirror.records.lifecycle.damage import ScrubState
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.store.work_locks import StorageLocks
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.progress_reporting import Progress

if TYPE_CHECKING:  # imported with a bucket only
    from mirror.store.bucket.bucket_comparison import BucketComparison

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()

#: Names of the scrubs, and of their locks as parts of error messages.
BACKGROUND: Final = "background"
COMMAND: Final = "command"
_SCRUB_LOCK: Final = "scrub"
_COMMAND_LOCK: Final = "scrub of a command"
_HEALING_LOCK: Final = "healing"

#: An interrupted command goes on where it was for this long. Later, what it had read says little about today.
_COMMAND_GOES_ON_FOR: Final = timedelta(days=1)
_DUE_PERIOD_SECONDS: Final = 60.0
_SUSPECT_PERIOD_SECONDS: Final = 5.0
#: Part of the time in which the server reads, so that clients keep most of the disk and of the CPU.
_MOST_OF_TIME: Final = 0.2
#: Pause after a scrub that failed, for example because the disk is gone.
_FAILED_PAUSE_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class ScrubResult:
    """Result of the command ``scrub``.

    Attributes:
        state: what was read.
        healing: the damaged content, healed or not.
        went_on_after_bytes: bytes that an interrupted run had read before.
        bucket: comparison with the list of the bucket; None if it was not asked for.
    """

    state: ScrubState
    healing: tuple[HealingResult, ...]
    went_on_after_bytes: int
    bucket: BucketComparison | None = None


async def scrub(
    settings: Settings,
    *,
    bytes_per_second: int | None,
    bundle: Path | None,
    progress: Progress,
    lists_bucket: bool = False,
) -> ScrubResult:
    """Read everything in the store, and heal what is damaged. A server may be running on the same data folder.

    Known damage is healed first, so that nobody waits for the end of the reading.

    Args:
        settings: location of the store, mirror and proxy rules, and upstreams.
        bytes_per_second: most bytes to read in a second; None for no limit.
        bundle: a bundle to heal from; None for none.
        progress: receives the bytes to read and the bytes read.
        lists_bucket: True to compare the list of the bucket with the catalog first.

    Raises:
        Busy: another command scrubs.
        ConfigurationFault: there is no data folder, no such bundle, or no bucket to list.
        BucketUnreachable, BucketFault: the bucket failed.
        BundleInvalid, BundleIncomplete: the bundle cannot be read.
        StorageFault, CatalogFault: the store failed, or many files one after the other are damaged.
    """
    reader = None if bundle is None else await open_bundle(bundle)
    path = settings.storage.path
    async with open_services(settings, must_exist=True) as services, StorageLocks(path)(_COMMAND_LOCK):
        records = services.store.records
        compared = await _compared(services) if lists_bucket else None
        healer = _healer(services, HealingPlaces(services, reader))
        scrubber = Scrubber(
            records.damage, records.scrubs, _CLOCK, COMMAND, pacer=Pacer(bytes_per_second), progress=progress
        )
        results = {each.damaged.digest: each for each in await healer.heal_all()}
        begun = await scrubber.begin(_COMMAND_GOES_ON_FOR)
        state = await scrubber.run(begun)
        for each in await healer.heal_due():
            results[each.damaged.digest] = each
        return ScrubResult(state, tuple(results.values()), begun.read_bytes, compared)


async def _compared(services: Services) -> BucketComparison:
    """Compare the bucket with the catalog, and let content whose object is wrong get another one."""
    store = services.store
    if store.objects is None:
        raise ConfigurationFault("storage.blobs is not configured, so there is no bucket; fix: leave out --bucket")
    from mirror.store.bucket.bucket_comparison import compare, doom_wrong

    await store.objects.require_site()
    catalog = store.services.catalog
    result = await compare(catalog, store.objects.bucket, _CLOCK.now())
    for digest in await doom_wrong(catalog, result, _CLOCK.now()):
        if found := await store.records.damage.find_stored(digest):
            await store.records.damage.examine(found, Pacer().read)
    return result


async def scrub_in_background(settings: Settings, store: Store) -> None:
    """Scrub until cancelled when it is due, one process at a time over all processes on the data folder."""
    period, locks = settings.storage.scrub.period, StorageLocks(settings.storage.path)
    if period is None:
        return
    records, rate = store.records, settings.storage.scrub.bytes_per_second
    pacer = Pacer(rate, most_of_time=_MOST_OF_TIME)
    scrubber = Scrubber(records.damage, records.scrubs, _CLOCK, BACKGROUND, pacer=pacer)
    while True:
        pause_seconds = _DUE_PERIOD_SECONDS
        await asyncio.sleep(pause_seconds)
        try:
            async with locks(_SCRUB_LOCK):
                if await _is_due(store, period):
                    state = await scrubber.run(await scrubber.begin(period))
                    _LOG.info("scrub finished", files=state.files, size_bytes=state.read_bytes, damaged=state.damaged)
        except Busy:
            continue  # another process scrubs
        except MirrorError as error:
            # A failed scrub must not end the scrubs for good.
            _LOG.error("scrub failed", error=str(error), **error.detail)
            await asyncio.sleep(_FAILED_PAUSE_SECONDS)


async def heal_in_background(services: Services) -> None:
    """Heal until cancelled: at once what a read of this process found damaged, and other damage when it is due."""
    locks = StorageLocks(services.settings.storage.path)
    healer = _healer(services, HealingPlaces(services))
    loop = asyncio.get_running_loop()
    due_at_seconds = loop.time()
    while True:
        await asyncio.sleep(_SUSPECT_PERIOD_SECONDS)
        try:
            await healer.heal_suspects()
            if loop.time() >= due_at_seconds:
                due_at_seconds = loop.time() + _DUE_PERIOD_SECONDS
                async with locks(_HEALING_LOCK):
                    await healer.heal_due()
        except Busy:
            continue  # another process heals
        except MirrorError as error:
            _LOG.error("healing failed", error=str(error), **error.detail)


async def scrub_report(store: Store) -> ScrubReport:
    """Return what is known about the bytes of a store. Raises CatalogFault."""
    return ScrubReport(await store.records.scrubs.scrubs(), await store.records.damage.counts())


async def _is_due(store: Store, period: timedelta) -> bool:
    """Return True if neither a scrub of a server nor one of a command has ended within the period."""
    last = (await scrub_report(store)).last_finished_at
    return last is None or _CLOCK.now() - last >= period


def _healer(services: Services, places: HealingPlaces) -> Healer:
    store, records = services.store, services.store.records
    locks, arrived = BlobLocks(store.downloads), records.incomplete.arrived
    return Healer(records.damage, store, locks, places.find, arrived=arrived, clock=_CLOCK)
