"""Content that was pulled through, in the catalog: counted, and evicted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from mirror.oci import Repository
from mirror.records.lifecycle.pulled_content import BudgetRecord, PulledArtifact, PulledContent, Refetchable
from mirror.store.catalog.tables.content_tables import blobs
from mirror.store.records.lifecycle.sql_long_work import SqlLongWork
from mirror.store.records.pulled import pulled_rows
from mirror.store.records.pulled.eviction_rows import evict
from mirror.store.records.pulled.pulled_repository import PulledRepository, divide
from mirror.store.storage_threads import in_thread
from mirror.store.store_services import StoreServices

#: Name of the long work whose state are the figures.
_BUDGET: Final = "pull-through budget"
_REPOSITORIES_IN_A_STEP: Final = 10
_DIGESTS_IN_A_STEP: Final = 2000
_ADDED: Final = select(func.coalesce(func.sum(blobs.c.size_bytes), 0)).where(blobs.c.stored_at >= bindparam("since"))
_TIMES: Final = ("counted_at", "last_emergency_at")


class SqlPulledContents:
    """Implements :class:`mirror.records.lifecycle.pulled_content.PulledContents`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock
        self._work = SqlLongWork(services)

    async def count(self, refetchable: Refetchable, downloading: Collection[str] = ()) -> PulledContent:
        now, catalog = self._clock.now(), self._catalog
        counting = _Counting(refetchable)
        names = await catalog.read_long(pulled_rows.names)
        work = await catalog.read_long(partial(pulled_rows.read_work, downloading=downloading, now=now))
        # Short steps, so that other reads get a turn, and a large catalog is never in memory as a whole.
        for start in range(0, len(names), _REPOSITORIES_IN_A_STEP):
            step = names[start : start + _REPOSITORIES_IN_A_STEP]
            found = await catalog.read_long(partial(pulled_rows.read, wanted=step, work=work))
            await in_thread("count what was pulled through", counting.add, found)
        digests = list(counting.numbers)
        for start in range(0, len(digests), _DIGESTS_IN_A_STEP):
            part = digests[start : start + _DIGESTS_IN_A_STEP]
            await catalog.read_long(partial(counting.measure, part=part))
        return PulledContent(counting.artifacts, counting.sizes)

    async def added_bytes(self, since: datetime) -> int:
        wanted = {"since": since}
        return await self._catalog.read_long(lambda connection: connection.execute(_ADDED, wanted).scalar_one())

    async def evict(self, artifacts: Sequence[PulledArtifact]) -> Sequence[PulledArtifact]:
        now = self._clock.now()
        return await self._catalog.write(lambda connection: evict(connection, artifacts, now))

    async def record(self) -> BudgetRecord:
        figures = (await self._work.find(_BUDGET)).state
        times = {name: datetime.fromisoformat(figures[name]) for name in _TIMES if figures.get(name)}
        return BudgetRecord(**{**figures, **times})

    async def save(self, record: BudgetRecord) -> None:
        figures = asdict(record)
        times = {name: figures[name].isoformat() for name in _TIMES if figures[name] is not None}
        await self._work.note(_BUDGET, "", figures | times, finished=True)


@dataclass(slots=True)
class _Counting:
    """Gathers the artifacts of all repositories. Each digest gets a number, because artifacts share most of them."""

    refetchable: Refetchable
    artifacts: list[PulledArtifact] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    #: Rows that hold a digest in the repositories read so far, without those that something else needs.
    _counted: dict[str, int] = field(default_factory=dict)

    def add(self, repositories: Sequence[PulledRepository]) -> None:
        for repository in repositories:
            found, needed = divide(repository, self.refetchable(Repository(repository.name)))
            for digest, number in repository.held.items():
                if digest not in needed:
                    self._counted[digest] = self._counted.get(digest, 0) + number
            self.artifacts += [
                PulledArtifact(
                    repository.name,
                    one.tags,
                    one.digests,
                    one.used_at,
                    tuple(self._number(digest) for digest in one.needs),
                    one.is_confirmed,
                    one.is_held,
                )
                for one in found
            ]

    def measure(self, connection: Connection, part: Sequence[str]) -> None:
        """Set the sizes of content that evictions free."""
        holding = pulled_rows.holding(connection, part)
        ours = [digest for digest in part if holding.get(digest, 0) <= self._counted.get(digest, 0)]
        for digest, size_bytes in pulled_rows.sizes(connection, ours).items():
            self.sizes[self.numbers[digest]] = size_bytes

    def _number(self, digest: str) -> int:
        number = self.numbers.setdefault(digest, len(self.numbers))
        if number == len(self.sizes):
            self.sizes.append(0)
        return number
