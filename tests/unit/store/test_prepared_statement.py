"""Statements that are compiled once."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, create_engine, event, insert, select

from mirror.store.catalog.pushes.prepared_statement import PreparedStatement, as_values, values_of
from mirror.store.catalog.tables.collection_tables import pins

_PIN = {"repository": "a/b", "pinned_by": "anna", "pinned_at": datetime(2026, 1, 2, tzinfo=UTC), "note": ""}


def _engine() -> Engine:
    engine = create_engine("sqlite://", connect_args={"isolation_level": None})

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    pins.create(engine)
    return engine


def test_values_are_stored_as_sqlalchemy_stores_them() -> None:
    with _engine().connect() as connection:
        PreparedStatement(insert(pins)).change(connection, [{**_PIN, "target": "v1"}])
        assert connection.execute(select(pins.c.target, pins.c.pinned_at)).one() == ("v1", _PIN["pinned_at"])


def test_one_text_serves_any_number_of_values() -> None:
    wanted = PreparedStatement(select(pins.c.target).where(pins.c.target.in_(values_of("names"))))
    with _engine().connect() as connection:
        connection.execute(insert(pins), [{**_PIN, "target": target} for target in ("v1", "v2", 'v"3')])
        for names in ((), ("v1",), ("v2", 'v"3', "v4")):
            found = {target for (target,) in wanted.run(connection, names=as_values(names))}
            assert found == set(names) - {"v4"}


def test_the_first_statement_of_a_transaction_begins_it() -> None:
    with _engine().connect() as connection:
        PreparedStatement(insert(pins)).change(connection, [{**_PIN, "target": "v1"}])
        connection.rollback()
        assert connection.execute(select(pins.c.target)).all() == []
