"""The table of parts: ranges, names, and tables from outside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleFault, BundleInvalid
from mirror.bundle.parts.parts_table import (
    Part,
    PartsTable,
    bundle_of_part,
    bundle_of_table,
    part_name,
    planned_parts,
    table_name,
)
from mirror.oci import Digest

STATEMENT = Digest.of(b"statement")


def table(size_bytes: int, part_bytes: int) -> PartsTable:
    planned = planned_parts("site.tar", size_bytes, part_bytes)
    return PartsTable(
        STATEMENT, part_bytes, tuple(Part(name, start, size, Digest.of(name.encode())) for name, start, size in planned)
    )


@given(st.integers(1, 300), st.integers(1, 50), st.data())
def test_the_ranges_of_a_range_follow_each_other_and_cover_it(size_bytes: int, part_bytes: int, data: st.DataObject):
    parts = table(size_bytes, part_bytes)
    start = data.draw(st.integers(0, size_bytes))
    wanted = data.draw(st.integers(0, size_bytes - start))
    covered = [
        offset
        for piece in parts.ranges(start, wanted)
        for offset in range(
            piece.part.start_bytes + piece.start_bytes, piece.part.start_bytes + piece.start_bytes + piece.size_bytes
        )
        if parts.parts[piece.number - 1] == piece.part and offset < piece.part.end_bytes
    ]
    assert covered == list(range(start, start + wanted))


@given(st.integers(1, 300), st.integers(1, 50))
def test_a_table_is_read_as_it_was_written(size_bytes: int, part_bytes: int):
    parts = table(size_bytes, part_bytes)
    assert PartsTable.parse(parts.to_bytes(), "table") == parts
    assert parts.size_bytes == size_bytes


def test_names_of_parts():
    assert part_name("site.tar", 7) == "site.tar.part-007"
    assert part_name("site.tar", 1234) == "site.tar.part-1234"
    assert bundle_of_part("site.tar.part-1234") == "site.tar"
    assert bundle_of_part("site.tar") is None
    assert bundle_of_table(table_name("site.tar")) == "site.tar"
    assert bundle_of_table(".parts.json") is None


def test_too_many_parts_are_refused():
    with pytest.raises(BundleInvalid, match="choose larger parts"):
        planned_parts("site.tar", 10_001, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"statement": None},
        {"statement": "sha256:12"},
        {"part_bytes": 0},
        {"part_bytes": True},
        {"part_bytes": 11},
        {"part_bytes": 2**60},
        {"size_bytes": 21},
        {"size_bytes": "25"},
        {"parts": []},
        {"parts": 7},
        {"parts": None},
        {"parts": ["site.tar.part-001"]},
        {"parts": [{"name": "site.tar.part-001", "size_bytes": 25, "sha256": "0" * 63}], "part_bytes": 25},
        {"parts": [{"name": "../site.tar.part-001", "size_bytes": 25, "sha256": "0" * 64}], "part_bytes": 25},
        {"parts": [{"name": "site.tar.part-002", "size_bytes": 25, "sha256": "0" * 64}], "part_bytes": 25},
        {"parts": [{"name": "site.tar", "size_bytes": 25, "sha256": "0" * 64}], "part_bytes": 25},
        {"parts": [{"name": "site.tar.part-001", "size_bytes": 24, "sha256": "0" * 64}], "part_bytes": 25},
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, Any]):
    value = json.loads(table(25, 10).to_bytes()) | change
    with pytest.raises(BundleInvalid, match="is not a table of parts"):
        PartsTable.parse(json.dumps(value).encode(), "F.parts.json")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_the_error_of_the_tree(content: bytes):
    with pytest.raises(BundleFault):
        PartsTable.parse(content, "table")
