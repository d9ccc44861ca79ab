"""The catalog in PostgreSQL: what differs from SQLite. The contract tests have what is the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, insert, select, text

from mirror.oci import Repository
from mirror.oci.errors import CatalogFault, ConfigurationFault
from mirror.oci.remote_storage_errors import CatalogUnreachable
from mirror.store.catalog.databases.postgresql_database import PostgresqlAddress, PostgresqlDatabase
from mirror.store.catalog.databases.table_copy import all_tables
from mirror.store.catalog.migrate import upgrade
from mirror.store.catalog.tables.catalog_format import HEAD
from mirror.store.catalog.tables.content_tables import blobs, repositories
from mirror.store.catalog.tables.schema import metadata
from mirror.store.content.data_layout import DataLayout
from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.harness import pgbouncer, postgresql
from tests.harness.pgbouncer import PgBouncer
from tests.harness.postgresql import Postgresql
from tests.harness.requirement import require
from tests.support.builders import REPOSITORY, push_blob, push_image, read_blob
from tests.support.databases import new_postgresql, postgresql_server


@pytest.fixture
def address() -> PostgresqlAddress:
    """The address of a database with empty tables."""
    return new_postgresql()


@pytest.fixture
async def store(folder: Path, address: PostgresqlAddress) -> AsyncIterator[Store]:
    async with Store.open(folder, database=PostgresqlDatabase.at(address)) as opened:
        yield opened


@pytest.fixture
def own_server() -> Iterator[Postgresql]:
    """A server that a test may stop."""
    require(postgresql.missing())
    with Postgresql(is_durable=True) as server:
        yield server


def at(url: str) -> PostgresqlAddress:
    return PostgresqlAddress.parse(url)


async def changes(store: Store) -> int:
    return int(
        await store.services.catalog.read(lambda connection: connection.scalar(text("SELECT changes FROM turn")))
    )


def schema(engine: Engine) -> list[tuple[object, ...]]:
    """Return all columns, indexes and constraints of a database."""
    statements = (
        "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
    )
    with engine.connect() as connection:
        found = [tuple(row) for each in statements for row in connection.exec_driver_sql(each)]
    return sorted((row for row in found if row[0] not in {"alembic_version", "turn"}), key=repr)


async def test_the_migrations_make_the_tables(folder: Path, store: Store) -> None:
    made = PostgresqlDatabase(DataLayout(folder), at(postgresql_server().new_database()))
    all_tables()
    with made.writing.connect() as connection:
        made.make_ready()
        metadata.create_all(connection)
        connection.commit()
    assert schema(store.services.catalog.database.reading) == schema(made.reading)
    made.close()


async def test_texts_have_any_length_and_the_order_of_bytes(store: Store) -> None:
    def column(connection: Connection) -> list[tuple[str, str, str | None]]:
        found = connection.execute(
            text(
                "SELECT DISTINCT data_type, collation_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name NOT IN ('alembic_version', 'turn') "
                "AND data_type NOT IN ('boolean', 'bytea', 'json', 'timestamp with time zone')"
            )
        )
        return sorted(map(tuple, found), key=str)

    assert await store.services.catalog.read(column) == [("bigint", None), ("text", "C")]
    names = [f"{first}{'x' * 300}" for first in ("a", "B", "_", "é")]
    await store.services.catalog.write(
        lambda connection: connection.execute(insert(repositories), [{"name": name} for name in names])
    )
    statement = select(repositories.c.name).order_by(repositories.c.name)
    ordered = await store.services.catalog.read(lambda connection: connection.execute(statement).scalars().all())
    assert ordered == sorted(names, key=str.encode)


async def test_one_of_several_changes_that_fails_takes_nothing_from_the_others(store: Store) -> None:
    def add(digest: str, connection: Connection) -> str:
        connection.execute(insert(blobs).values(digest=digest, size_bytes=1, stored_at=datetime.now(UTC)))
        return digest

    def refused(connection: Connection) -> None:
        add("refused", connection)
        add("refused", connection)

    works = [lambda c: add("a", c), refused, lambda c: add("b", c)]
    outcomes = await asyncio.gather(*map(store.services.catalog.write, works), return_exceptions=True)
    assert outcomes[::2] == ["a", "b"]
    assert isinstance(outcomes[1], CatalogFault)
    assert "PostgreSQL failed (23505)" in str(outcomes[1])
    statement = select(blobs.c.digest).order_by(blobs.c.digest)
    found = await store.services.catalog.read(lambda connection: connection.execute(statement).scalars().all())
    assert found == ["a", "b"]


async def test_programs_that_share_the_database_have_turns(tmp_path: Path, address: PostgresqlAddress) -> None:
    """A change reads what it changes, as a quota does: without turns, additions of two programs would be lost."""

    def add(connection: Connection) -> None:
        number = connection.scalar(select(blobs.c.size_bytes).where(blobs.c.digest == "count"))
        if number is None:
            connection.execute(insert(blobs).values(digest="count", size_bytes=1, stored_at=datetime.now(UTC)))
        else:
            connection.execute(blobs.update().where(blobs.c.digest == "count").values(size_bytes=number + 1))

    database = PostgresqlDatabase.at(address)
    async with (
        Store.open(tmp_path / "a", database=database) as one,
        Store.open(tmp_path / "b", database=database) as two,
    ):
        before = await changes(one)
        for _ in range(10):
            await asyncio.gather(*(store.services.catalog.write(add) for store in (one, two)))
        counted = select(blobs.c.size_bytes).where(blobs.c.digest == "count")
        assert await one.services.catalog.read(lambda connection: connection.scalar(counted)) == 20
        assert await changes(two) == before + 20


async def test_many_programs_create_the_tables_at_the_same_time(tmp_path: Path) -> None:
    address = at(postgresql_server().new_database())

    async def open_and_push(number: int) -> None:
        async with Store.open(tmp_path / str(number), database=PostgresqlDatabase.at(address)) as store:
            await push_blob(store, b"pushed by everybody", Repository(f"acme/plugin-{number}"))

    await asyncio.gather(*map(open_and_push, range(4)))
    async with Store.open(tmp_path / "0", database=PostgresqlDatabase.at(address)) as store:
        page = await store.list_repositories(PageRequest(10))
    assert [name.name for name in page.entries] == [f"acme/plugin-{number}" for number in range(4)]


async def test_lost_connections_need_no_restart(store: Store, address: PostgresqlAddress) -> None:
    pushed = await push_image(store, "before")
    postgresql_server().run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{address.url.database}' AND pid <> pg_backend_pid()"
    )
    await push_image(store, "after")
    assert await store.get_manifest(REPOSITORY, pushed.digest) == pushed


async def test_a_database_that_goes_away_and_comes_back(folder: Path, own_server: Postgresql) -> None:
    address = at(own_server.new_database())
    async with Store.open(folder, database=PostgresqlDatabase.at(address)) as store:
        blob = await push_blob(store, b"content")
        assert await read_blob(store, blob.digest) == b"content"
        own_server.kill()
        with pytest.raises(CatalogUnreachable, match=r"nothing listens there|the connection was lost|it is being shut"):
            await push_blob(store, b"refused")
        with pytest.raises(CatalogUnreachable, match="nothing listens there; fix: start the server") as raised:
            await store.monitoring.probe_catalog()
        assert raised.value.detail["retry_after_seconds"] == "5"
        # What is in memory needs no database.
        assert await read_blob(store, blob.digest) == b"content"
        own_server.start()
        await push_blob(store, b"accepted")
        await store.monitoring.probe_catalog()


async def test_a_catalog_of_before_is_copied_to_a_schema(folder: Path) -> None:
    address = at(postgresql_server().new_database())
    database = PostgresqlDatabase(DataLayout(folder), address)
    database.make_ready()
    with database.writing.begin() as connection:
        upgrade(connection, "0016")
        connection.execute(insert(repositories).values(name="acme/driver"))
    database.close()
    async with Store.open(folder, database=PostgresqlDatabase.at(address)):
        pass
    assert postgresql_server().run("SELECT version_num FROM alembic_version", str(address.url.database)) == HEAD
    copied = postgresql_server().run(
        "SELECT version_num, name FROM catalog_0016.alembic_version, catalog_0016.repositories",
        str(address.url.database),
    )
    assert copied == "0016|acme/driver"


async def test_a_catalog_of_a_later_version(folder: Path, address: PostgresqlAddress) -> None:
    postgresql_server().run("UPDATE alembic_version SET version_num = '9999'", str(address.url.database))
    with pytest.raises(CatalogFault, match="revision 9999, which this version does not know") as raised:
        async with Store.open(folder, database=PostgresqlDatabase.at(address)):
            pass
    assert "fix: use the version that made it; or restore a backup of postgresql://" in str(raised.value)


async def test_content_without_its_catalog_is_refused(folder: Path, address: PostgresqlAddress) -> None:
    async with Store.open(folder, database=PostgresqlDatabase.at(address)) as store:
        await push_blob(store, b"content")
    other = at(postgresql_server().new_database())
    with pytest.raises(CatalogFault, match=r"has no tables, but the data folder .* has content; fix: name"):
        async with Store.open(folder, database=PostgresqlDatabase.at(other)):
            pass


async def test_a_pooler_lends_connections_for_a_transaction(tmp_path: Path, address: PostgresqlAddress) -> None:
    require(pgbouncer.missing())
    with PgBouncer(postgresql_server()) as pooler:
        database = PostgresqlDatabase.at(PostgresqlAddress(address.url.set(port=pooler.port)))
        async with (
            Store.open(tmp_path / "a", database=database) as one,
            Store.open(tmp_path / "b", database=database) as two,
        ):
            for number in range(8):  # a statement is prepared after its fifth use, if it is
                await asyncio.gather(push_image(one, f"one {number}"), push_image(two, f"two {number}"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"database": "missing"}, "there is no such database or user"),
        ({"username": "nobody"}, "there is no such database or user"),
        ({"host": "missing.invalid"}, "the host name is unknown"),
        ({"port": 1}, "nothing listens there"),
    ],
)
async def test_a_database_that_cannot_be_used(
    folder: Path, address: PostgresqlAddress, change: dict[str, str], message: str
) -> None:
    wrong = PostgresqlAddress(address.url.set(**change))  # type: ignore[arg-type]
    with pytest.raises(CatalogFault, match=f"cannot open the catalog in postgresql://.*: {message}; fix: ") as raised:
        async with Store.open(folder, database=PostgresqlDatabase.at(wrong)):
            pass
    assert "psycopg" not in str(raised.value)


async def test_the_password_is_read_for_each_connection(folder: Path, own_server: Postgresql) -> None:
    url = own_server.new_database()
    own_server.run("CREATE ROLE mirror LOGIN PASSWORD 'first' SUPERUSER")
    own_server.require_passwords_of("mirror")
    password = folder.parent / "password"
    password.write_text("first\n")
    address = PostgresqlAddress.parse(url.replace("postgres@", "mirror@"), password)
    async with Store.open(folder, database=PostgresqlDatabase.at(address)) as store:
        own_server.run("ALTER ROLE mirror PASSWORD 'second'")
        own_server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mirror'")
        with pytest.raises(CatalogFault, match="it refuses the password; fix: ") as raised:
            await push_blob(store, b"refused")
        assert "first" not in str(raised.value)
        password.write_text("second\n")
        await push_blob(store, b"accepted")


async def test_a_database_that_does_not_have_utf8(folder: Path) -> None:
    server = postgresql_server()
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(ConfigurationFault, match="has the encoding LATIN1; fix: create the database with ENCODING"):
        async with Store.open(folder, database=PostgresqlDatabase.at(at(f"postgresql://postgres@{server.host}/latin"))):
            pass


async def test_more_connections_than_the_server_allows_are_refused(folder: Path, address: PostgresqlAddress) -> None:
    with pytest.raises(ConfigurationFault, match=r"allows 197 connections, and 40 processes need 200; fix: raise"):
        async with Store.open(folder, database=PostgresqlDatabase.at(address, processes=40)):
            pass


async def test_a_pooler_without_its_server_is_no_fault_of_the_catalog(folder: Path, own_server: Postgresql) -> None:
    require(pgbouncer.missing())
    url = own_server.new_database()
    with PgBouncer(own_server) as pooler:
        database = PostgresqlDatabase.at(at(url.replace(f":{own_server.port}/", f":{pooler.port}/")))
        async with Store.open(folder, database=database) as store:
            own_server.kill()
            for _ in range(3):  # the connections of the pooler break, then it has none
                with pytest.raises(CatalogUnreachable):
                    await push_blob(store, b"refused")
