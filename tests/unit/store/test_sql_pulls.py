from datetime import timedelta

from sqlalchemy import select

from mirror.oci import Repository, Tag
from mirror.records.lifecycle.pull_counts import PullCount
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.registry import Store
from tests.support.clocks import START

NAME, TAG = Repository("acme/driver"), Tag("1.0")


async def recorded(store: Store) -> PullCount:
    statement = select(pulls.c.pulled_at, pulls.c.count).where(pulls.c.target == TAG.name)
    return PullCount(*await store.services.catalog.read(lambda connection: connection.execute(statement).one()))


async def test_counts_of_all_processes_add_up_and_the_last_pull_stays_the_last(store: Store) -> None:
    await store.records.pulls.record_pulls({(NAME, TAG): PullCount(START, 3)})
    await store.records.pulls.record_pulls({(NAME, TAG): PullCount(START - timedelta(seconds=5), 2)})
    assert await recorded(store) == PullCount(START, 5)
    await store.records.pulls.record_pulls({(NAME, TAG): PullCount(START + timedelta(days=1))})
    assert await recorded(store) == PullCount(START + timedelta(days=1), 6)
