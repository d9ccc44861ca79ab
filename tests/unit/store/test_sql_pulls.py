from datetime import timedelta

import pytest
from sqlalchemy import select

from mirror.oci import Digest, Repository, Tag
from mirror.records.lifecycle.pull_counts import PullCount
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.records.lifecycle import sql_pulls
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_blob, push_image
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


async def test_pulls_of_what_is_gone_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_pulls, "_NEXT", sql_pulls._NEXT.limit(2))
    layer = Digest.of(b"layer")
    await push_blob(store, b"layer")
    manifest = await push_image(store, "1.0", "1.0")
    kept = [Tag("1.0"), manifest.digest, layer]
    gone = [Tag("0.9"), Tag("0.8"), Digest.of(b"gone")]
    names = [(REPOSITORY, target) for target in (*kept, *gone)] + [(Repository("gone/gone"), Tag("1.0"))]
    await store.records.pulls.record_pulls({name: PullCount(START) for name in names})
    await store.records.pulls.forget_gone()
    targets = select(pulls.c.target)
    left = await store.services.catalog.read(lambda connection: connection.execute(targets).scalars().all())
    assert sorted(left) == sorted(map(str, kept))
