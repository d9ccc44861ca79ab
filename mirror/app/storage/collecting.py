"""Collection, for the server's background work and for commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from mirror.app.database.catalog_opening import catalog_copier
from mirror.app.services import open_store, require_data_folder
from mirror.app.storage.retiring import retire, retirement
from mirror.lifecycle.catalog_checks import CatalogChecks
from mirror.lifecycle.collector import CollectionProgress, CollectionResult, Collector
from mirror.oci.errors import Busy, MirrorError
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.content.data_layout import DataLayout
from mirror.store.private_state import opened_private_state
from mirror.store.registry import Store
from mirror.store.uploads.upload_sessions import uploading_repositories
from mirror.store.work_locks import StorageLocks

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_PERIOD_SECONDS: Final = 60.0
#: The background collection works a tenth of the time, in steps of a few milliseconds: requests wait for the thread of
#: a step after each of their system calls.
_BACKGROUND_PAUSES: Final = 9.0
_IN_A_BACKGROUND_STEP: Final = 20
#: Name of the lock, as part of an error message.
COLLECTION: Final = "collection"


def collection_rules(settings: Settings) -> CollectionRules:
    """Return the configured rules of the collection."""
    return settings.storage.collection.rules(settings.storage.untagged)


async def collect_in_background(settings: Settings, store: Store) -> None:
    """Collect until cancelled, one process at a time over all processes on the data folder."""
    locks = StorageLocks(settings.storage.path)
    rules = collection_rules(settings)
    checks = _checks(store, rules)
    collector = Collector(
        store.records.reviews,
        rules,
        store.uploads.repositories,
        _CLOCK,
        in_a_step=_IN_A_BACKGROUND_STEP,
        pause_ratio=_BACKGROUND_PAUSES,
    )
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        try:
            async with locks(COLLECTION):
                await checks.check_a_little()
                result = await collector.collect()
        except Busy:
            continue  # another process collects
        except MirrorError as error:
            # The next round tries again. A failed round must not end the collection for good.
            _LOG.error("collection failed", error=str(error), **error.detail)
        else:
            if result.freed.files or result.decided.removed:
                _LOG.info(
                    "content collected",
                    removed=result.decided.removed,
                    files=result.freed.files,
                    size_bytes=result.freed.size_bytes,
                )


async def collect(
    settings: Settings,
    *,
    grace: timedelta | None = None,
    untagged: timedelta | None = None,
    dry_run: bool = False,
    progress: CollectionProgress | None = None,
) -> CollectionResult:
    """Drop the tags that no retention keeps, and collect, beside a running server.

    All files and the whole catalog are looked through first.

    Args:
        settings: settings of the command.
        grace: grace in place of the configured ones; zero to decide everything now.
        untagged: time that untagged manifests are kept, in place of ``storage.untagged``.
        dry_run: True to change nothing. The decisions are made on a copy of the catalog.
        progress: receives the progress.

    Raises:
        Busy: another process collects.
        ConfigurationFault: there is no data folder.
        CatalogFault, StorageFault: the store failed.
    """
    rules = collection_rules(settings)
    if grace is not None:
        rules = replace(rules, grace=Grace.everywhere(grace))
    if untagged is not None:
        rules = replace(rules, untagged=(), untagged_default=untagged)
    layout = DataLayout(settings.storage.path)
    async with _opened(settings, layout.root, dry_run=dry_run) as store:
        await _checks(store, rules).check_all()
        collector = Collector(
            store.records.reviews,
            rules,
            partial(uploading_repositories, layout),  # not the store's: a dry run must see the uploads of the server
            _CLOCK,
            progress=progress,
            dry_run=dry_run,
        )
        retired = await retire(store, retirement(settings, store, rules.grace))
        result = await (collector.collect() if grace != timedelta(0) else collector.collect_now())
        return replace(result, retirement=retired)


def _checks(store: Store, rules: CollectionRules) -> CatalogChecks:
    return CatalogChecks(store.records.reviews, store.records.long_work, rules.grace, _CLOCK)


@asynccontextmanager
async def _opened(settings: Settings, path: Path, *, dry_run: bool) -> AsyncIterator[Store]:
    if dry_run:
        require_data_folder(path)
        async with (
            opened_private_state(path, catalog_copier(settings)) as private_state,
            open_store(settings, only_reads=True, private_state=private_state) as store,
        ):
            yield store
    else:
        async with open_store(settings, must_exist=True) as store, StorageLocks(path)(COLLECTION):
            yield store
