"""Background work of a server on its storage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeAlias

import structlog

from mirror.app.services import Services
from mirror.app.storage.backups.names_keeping import keep_names
from mirror.app.storage.collecting import collect_in_background, collection_rules
from mirror.app.storage.integrity.scrubbing import heal_in_background, scrub_in_background
from mirror.app.storage.retiring import retire_in_background
from mirror.oci.errors import MirrorError
from mirror.settings import Settings
from mirror.store.registry import Store

_LOG = structlog.get_logger(__name__)
_EXPIRY_PERIOD_SECONDS: Final = 600.0

#: Background work that runs until it is cancelled.
Chore: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


def upkeep_chores(services: Services, *, changes: bool) -> list[Chore]:
    """Return the background work on the store.

    Args:
        services: services of the process.
        changes: False for a server that changes nothing of its data folder.
    """
    settings, store = services.settings, services.store
    chores: list[Chore] = [partial(_expire_uploads, settings, store)]
    if changes:
        if settings.storage.collection.enabled:
            chores.append(partial(collect_in_background, settings, store))
        chores.append(partial(retire_in_background, settings, store, collection_rules(settings).grace))
        chores.append(partial(scrub_in_background, settings, store))
        chores.append(partial(heal_in_background, services))
        if settings.storage.catalog is None:  # a database elsewhere has backups of its own
            chores.append(partial(keep_names, settings, store))
    return chores


async def _expire_uploads(settings: Settings, store: Store) -> None:
    age = timedelta(hours=settings.storage.upload_expiry_hours)
    # Empty sessions expire sooner: a client could begin them without end, and each one is a folder (ADR 23).
    empty_age = timedelta(minutes=settings.storage.empty_upload_expiry_minutes)
    while True:
        try:
            removed = await store.uploads.expire(age, empty_age)
        except MirrorError as error:
            # The next round tries again. A failed round must not end the removal of expired sessions for good.
            _LOG.error("upload sessions could not be expired", error=str(error), **error.detail)
        else:
            if removed:
                _LOG.info("upload sessions expired", count=removed)
        await asyncio.sleep(_EXPIRY_PERIOD_SECONDS)
