"""Pulls of tags and digests, in the catalog. Nothing of them is cached, so writing them keeps all caches valid."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func
from sqlalchemy.dialects.sqlite import insert

from mirror.records.lifecycle.pull_counts import PullCounts
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.store_services import StoreServices

_NEW: Final = insert(pulls)
#: Several processes count the same tag, and the one that writes last need not have counted the last pull.
_ADD: Final = _NEW.on_conflict_do_update(
    index_elements=list(pulls.primary_key),
    set_={
        "count": pulls.c.count + _NEW.excluded.count,
        "pulled_at": func.max(pulls.c.pulled_at, _NEW.excluded.pulled_at),
    },
)


class SqlPulls:
    """The number of pulls of each tag and digest, and the time of the last one."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def record_pulls(self, pulled: PullCounts) -> None:
        """Add pulls to those recorded. Raises StorageFull, CatalogFault."""

        def write(connection: Connection) -> None:
            values = [
                {"repository": repository.name, "target": str(target), "pulled_at": one.last_at, "count": one.number}
                for (repository, target), one in pulled.items()
            ]
            connection.execute(_ADD, values)

        if pulled:
            await self._catalog.write_uncached(write)
