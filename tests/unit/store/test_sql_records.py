"""The records of a store, of which each kind is imported at its first use."""

from __future__ import annotations

from mirror.store.records.sql_records import SqlRecords
from mirror.store.registry import Store


async def test_each_kind_is_of_its_class_and_made_once(store: Store) -> None:
    found = {name: getattr(store.records, name) for name in SqlRecords.__annotations__}
    assert {name: type(records).__name__ for name, records in found.items()} == SqlRecords.__annotations__
    assert all(getattr(store.records, name) is records for name, records in found.items())


async def test_no_other_kind_exists(store: Store) -> None:
    assert not hasattr(store.records, "absences")
