import asyncio
import importlib
import multiprocessing
import pkgutil
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, insert, select

from mirror.oci import Digest, Tag
from mirror.oci.errors import BlobUnknown, CatalogFault, ManifestBlobUnknown, ManifestInvalid, StorageFault, StorageFull
from mirror.registry.port import Page
from mirror.runtime.current_client import CLIENT
from mirror.store.catalog import rows, tables
from mirror.store.catalog.databases.catalog_database import CatalogDatabase
from mirror.store.catalog.migrate import MIGRATIONS, migrate
from mirror.store.catalog.tables.catalog_format import HEAD
from mirror.store.catalog.tables.content_tables import blobs
from mirror.store.catalog.tables.schema import metadata
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.support.builders import REPOSITORY, manifest_of, push_blob, push_image
from tests.support.waiting import until


def open_in_a_process(folder: Path, barrier: "multiprocessing.Barrier") -> None:
    """Open a store at the same moment as other processes, and push to it."""

    async def run() -> None:
        barrier.wait(30)
        async with Store.open(folder) as store:
            await push_blob(store, b"pushed by everybody")

    asyncio.run(run())


def test_many_processes_create_one_store(folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    processes = [spawn.Process(target=open_in_a_process, args=(folder, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(45)

    assert [process.exitcode for process in processes] == [0, 0, 0, 0]


async def test_the_migrations_make_the_tables(folder: Path, store: Store) -> None:
    # A store imports the tables of some records when they are used.
    for module in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        importlib.import_module(module.name)
    engine = create_engine(f"sqlite:///{folder / 'catalog.sqlite'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD
    engine.dispose()


def test_the_last_migration_is_the_one_that_is_looked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_store_that_is_up_to_date_is_opened_without_alembic(folder: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; from mirror.store.registry import Store\n"
        "async def main():\n"
        "    async with Store.open(Path(sys.argv[1])): pass\n"
        "asyncio.run(main()); print('alembic' in sys.modules)"
    )

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.splitlines()[-1]

    assert run() == "True"
    assert run() == "False"


async def test_a_catalog_of_a_later_version(folder: Path) -> None:
    async with Store.open(folder):
        pass
    with sqlite3.connect(folder / "catalog.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(CatalogFault, match="revision 9999"):
        async with Store.open(folder):
            pass


async def test_what_is_not_a_catalog(folder: Path) -> None:
    folder.mkdir()
    (folder / "catalog.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)

    with pytest.raises(CatalogFault, match="not a database"):
        async with Store.open(folder):
            pass


async def test_a_data_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "data", tmp_path / "no" / "such"):
        with pytest.raises(StorageFault):
            async with Store.open(path):
                pass


async def test_a_migration_that_fails_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def migrate_and_fail(connection: Connection, database: CatalogDatabase) -> None:
        migrate(connection, database)
        raise RuntimeError("power is gone")

    with monkeypatch.context() as patched:
        patched.setattr("mirror.store.catalog.database.migrate", migrate_and_fail)
        with pytest.raises(RuntimeError):
            async with Store.open(folder):
                pass
    with sqlite3.connect(folder / "catalog.sqlite") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()

    async with Store.open(folder) as store:
        await push_blob(store, b"content")


async def test_a_folder_with_odd_letters(tmp_path: Path) -> None:
    folder = tmp_path / "données 50% ?#&"
    for _ in range(2):
        async with Store.open(folder) as store:
            await push_blob(store, b"content")
    assert (folder / "catalog.sqlite").exists()


async def test_the_database_is_set_up_to_last(folder: Path, store: Store) -> None:
    with store.services.catalog.database.writing.connect() as connection:
        for pragma, expected in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == expected

    def read(connection: Connection) -> int:
        return connection.exec_driver_sql("PRAGMA query_only").scalar_one()

    assert await store.services.catalog.read(read) == 1


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(CatalogFault, match="it cannot be written"):
        await store.services.catalog.read(lambda connection: add(connection, "x"))


async def test_moments_are_in_utc(store: Store) -> None:
    noon = datetime(2026, 8, 1, 12, 30, 15, 250, tzinfo=timezone(timedelta(hours=5)))

    def write(connection: Connection) -> None:
        connection.execute(insert(blobs).values(digest="x", size_bytes=1, stored_at=noon))

    await store.services.catalog.write(write)

    read = await store.services.catalog.read(
        lambda connection: connection.execute(select(blobs.c.stored_at)).scalar_one()
    )
    assert read == noon
    assert read.tzinfo == UTC


async def test_many_children_are_looked_for_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_IN_LIMIT", 2)
    members = [(await push_image(store, f"image {number}")).descriptor.to_json() for number in range(5)]
    index = manifest_of({"manifests": members}, "application/vnd.oci.image.index.v1+json")
    await store.put_manifest(REPOSITORY, index)
    assert await store.get_manifest(REPOSITORY, index.digest) == index

    await store.delete_manifest(REPOSITORY, Digest.parse(members[4]["digest"]))
    with pytest.raises(ManifestBlobUnknown, match=members[4]["digest"]):
        await store.put_manifest(REPOSITORY, index)


async def test_a_failed_transaction_changes_nothing(store: Store) -> None:
    def write(connection: Connection) -> None:
        add(connection, "x")
        raise RuntimeError("something else went wrong")

    before = store.services.cache.generation
    with pytest.raises(RuntimeError):
        await store.services.catalog.write(write)

    assert await digests(store) == []
    assert store.services.cache.generation == before


async def test_a_cancelled_transaction_is_done_to_its_end(store: Store) -> None:
    async with held_up(store) as (task, finish):
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        finish.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await digests(store) == ["held up"]
    await push_blob(store, b"and the next writer has its turn")


async def test_a_transaction_that_is_cancelled_while_it_waits_is_not_done(store: Store) -> None:
    async with held_up(store) as (first, finish):
        waiting = [
            asyncio.create_task(store.services.catalog.write(lambda connection: add(connection, "x"))) for _ in range(2)
        ]
        await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        finish.set()
        await first
    assert await waiting[1] == "x"
    # Of the opening, of the first change, and of the one that was not cancelled.
    assert store.monitoring.work.transactions == 3


class TestTogether:
    """Changes that wait at the same time are committed in one transaction."""

    async def test_they_are_committed_once(self, store: Store) -> None:
        before = store.services.catalog.generation.current
        transactions = store.monitoring.work.transactions
        async with held_up(store) as (first, finish):
            changes = [asyncio.create_task(store.services.catalog.write(named(f"{number:02}"))) for number in range(20)]
            await asyncio.sleep(0)
            finish.set()
            await first
        assert await asyncio.gather(*changes) == [f"{number:02}" for number in range(20)]

        assert await digests(store) == [*(f"{number:02}" for number in range(20)), "held up"]
        assert store.services.catalog.generation.current == before + 4
        assert store.monitoring.work.transactions == transactions + 21

    async def test_one_that_fails_takes_nothing_from_the_others(self, store: Store) -> None:
        def failing(connection: Connection) -> None:
            add(connection, "failed")
            raise BlobUnknown("it is not here")

        def refused(connection: Connection) -> None:
            add(connection, "refused")
            connection.execute(insert(blobs).values(digest="refused", size_bytes=1, stored_at=datetime.now(UTC)))

        async with held_up(store) as (first, finish):
            works = [named("a"), failing, named("b"), refused, named("c")]
            changes = [asyncio.create_task(store.services.catalog.write(work)) for work in works]
            await asyncio.sleep(0)
            finish.set()
            await first
        outcomes = await asyncio.gather(*changes, return_exceptions=True)

        assert outcomes[::2] == ["a", "b", "c"]
        assert [type(outcome) for outcome in outcomes[1::2]] == [BlobUnknown, CatalogFault]
        assert "SQLite failed (SQLITE_CONSTRAINT_PRIMARYKEY)" in str(outcomes[3])
        assert await digests(store) == ["a", "b", "c", "held up"]

    async def test_none_is_done_where_there_is_no_room(self, store: Store) -> None:
        """SQLite rolls back the whole transaction on a full disk, including the changes that had succeeded."""
        with store.services.catalog.database.writing.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as many pages as there are
        async with held_up(store) as (first, finish):
            works = [named("a"), lambda connection: [add(connection, f"{n:0100}") for n in range(5000)], named("b")]
            changes = [asyncio.create_task(store.services.catalog.write(work)) for work in works]
            await asyncio.sleep(0)
            finish.set()
            await first
        outcomes = await asyncio.gather(*changes, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [StorageFull] * 3
        assert len({id(outcome) for outcome in outcomes}) == 3  # each caller's own, with its own trace
        assert await digests(store) == ["held up"]

    async def test_who_is_cancelled_or_fails_changes_nothing_for_the_others(self, folder: Path, store: Store) -> None:
        """Two writers on one folder, refusals and cancelled callers: each caller's result agrees with the catalog."""
        chances = random.Random(5)
        told: dict[str, BaseException | str] = {}

        async def change(writer: Store, name: str) -> None:
            refused = chances.random() < 0.1

            def work(connection: Connection) -> str:
                add(connection, name)
                if refused:
                    raise BlobUnknown(name)
                return name

            task = asyncio.create_task(writer.services.catalog.write(work))
            if chances.random() < 0.3:
                # Some callers leave before their transaction begins, some during and some after it.
                await asyncio.sleep(chances.random() / 200)
                task.cancel()
            await asyncio.wait([task])
            told[name] = asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()

        async with Store.open(folder) as other:
            for turn in range(4):
                names = [f"{turn}-{number:02}" for number in range(60)]
                await asyncio.gather(*(change(chances.choice([store, other]), name) for name in names))

        held = set(await digests(store))
        assert {name for name, outcome in told.items() if outcome == name} <= held
        assert all(str(outcome) == name for name, outcome in told.items() if isinstance(outcome, BlobUnknown))
        assert not held & {name for name, outcome in told.items() if isinstance(outcome, BlobUnknown)}
        assert {type(outcome) for outcome in told.values()} == {str, BlobUnknown, asyncio.CancelledError}

    async def test_what_is_written_aside_keeps_what_is_cached(self, store: Store) -> None:
        before = store.services.catalog.generation.current
        await asyncio.gather(*(store.services.catalog.write_uncached(named(name)) for name in "abc"))
        assert store.services.catalog.generation.current == before
        assert await digests(store) == ["a", "b", "c"]


@asynccontextmanager
async def held_up(store: Store) -> AsyncIterator[tuple[asyncio.Task[str], threading.Event]]:
    """Run a change that holds the transaction until ``finish`` is set. Changes that come meanwhile wait together."""
    begun, finish = threading.Event(), threading.Event()

    def write(connection: Connection) -> str:
        begun.set()
        finish.wait(30)
        return add(connection, "held up")

    task = asyncio.create_task(store.services.catalog.write(write))
    await asyncio.to_thread(begun.wait, 30)
    yield task, finish


def named(name: str) -> Callable[[Connection], str]:
    return lambda connection: add(connection, name)


def add(connection: Connection, name: str) -> str:
    connection.execute(insert(blobs).values(digest=name, size_bytes=1, stored_at=datetime.now(UTC)))
    return name


async def digests(store: Store) -> list[str]:
    statement = select(blobs.c.digest).order_by(blobs.c.digest)
    return list(await store.services.catalog.read(lambda connection: connection.execute(statement).scalars().all()))


async def test_lists_leave_readers_to_others_and_each_client_has_its_turn(store: Store) -> None:
    catalog = store.services.catalog
    begun: list[str] = []
    go_on = threading.Event()

    def long(client: str) -> str:
        begun.append(client)
        assert go_on.wait(30)
        return client

    async def ask(client: str) -> str:
        CLIENT.set(client)
        return await catalog.read_long(lambda _: long(client))

    tasks = [asyncio.create_task(ask("greedy")) for _ in range(20)]
    await until(lambda: len(begun) >= 2)
    tasks.append(asyncio.create_task(ask("modest")))
    for _ in range(5):
        assert await catalog.read(lambda _: len(begun)) == 2
    go_on.set()
    assert await asyncio.gather(*tasks) == ["greedy"] * 20 + ["modest"]
    assert begun.index("modest") <= 3


async def test_a_hundred_thousand_tags_are_paged_by_the_database(folder: Path) -> None:
    names = [f"v{number:06}" for number in range(100_000)]
    async with Store.open(folder) as store:
        image = await push_image(store, "image", "latest")
    with sqlite3.connect(folder / "catalog.sqlite") as connection:
        connection.executemany(
            "INSERT INTO tags (repository_id, name, digest, updated_at, pushed) "
            "SELECT id, ?, ?, '2026-01-01', 1 FROM repositories",
            [(name, str(image.digest)) for name in names],
        )
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT name FROM tags WHERE repository_id = 1 AND name > 'v05' ORDER BY name LIMIT 9"
        ).fetchall()
    connection.close()

    async with Store.open(folder) as store:
        page = await store.list_tags(REPOSITORY, PageRequest(limit=3, last="v098999"))
        assert page == Page((Tag("v099000"), Tag("v099001"), Tag("v099002")), more=True)
        assert len((await store.list_tags(REPOSITORY, PageRequest())).entries) == 10_000
        assert await store.resolve(REPOSITORY, Tag("v077777")) == image.descriptor
    assert [step[3] for step in plan] == ["SEARCH tags USING PRIMARY KEY (repository_id=? AND name>?)"]


@pytest.mark.parametrize("last", ["\ud800", "a\udfffz", "\x00", "é", "x" * 100_000, "%", "'; DROP TABLE tags; --"])
async def test_any_text_may_come_last(store: Store, last: str) -> None:
    await push_image(store, "image", "latest")
    expected = (Tag("latest"),) if last < "latest" else ()

    assert (await store.list_tags(REPOSITORY, PageRequest(last=last))).entries == expected
    assert (await store.list_repositories(PageRequest(last=last))).more is False
    subject = (await store.resolve(REPOSITORY, Tag("latest"))).digest
    assert (await store.list_referrers(REPOSITORY, subject, last, PageRequest())).entries == ()


async def test_an_artifact_type_that_is_no_text(store: Store) -> None:
    subject = (await push_image(store, "subject")).descriptor.to_json()
    body = {"manifests": [], "subject": subject, "artifactType": "half a pair: \ud800"}
    index = manifest_of(body, "application/vnd.oci.image.index.v1+json")

    with pytest.raises(ManifestInvalid, match="not Unicode text"):
        await store.put_manifest(REPOSITORY, index)
