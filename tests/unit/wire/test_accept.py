from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.media_types import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, INDEXES, MANIFESTS, OCI_INDEX
from mirror.wire.accept import MAX_ACCEPT_LENGTH, names_any


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([OCI_INDEX], True),
        ([DOCKER_MANIFEST, DOCKER_MANIFEST_LIST], True),
        ([f"{DOCKER_MANIFEST}, {OCI_INDEX};q=0.5, */*"], True),
        ([OCI_INDEX.upper()], True),
        ([f"{OCI_INDEX} ; q=0"], False),
        ([f"{OCI_INDEX};Q=0.000"], False),
        ([f"{OCI_INDEX};q=0.001"], True),
        (["*/*"], False),
        (["application/*"], False),
        ([DOCKER_MANIFEST], False),
        ([f"{OCI_INDEX}x"], False),
        ([], False),
        ([""], False),
    ],
)
def test_whether_an_index_is_asked_for(lines: list[str], expected: bool) -> None:
    assert names_any(lines, INDEXES) is expected


@given(st.lists(st.text()))
def test_any_text_is_read(lines: list[str]) -> None:
    assert names_any(lines, INDEXES) in {True, False}


@given(st.lists(st.sampled_from(MANIFESTS)), st.booleans())
def test_lines_are_one_list(types: list[str], joined: bool) -> None:
    lines = [", ".join(types)] if joined else types
    assert names_any(lines, INDEXES) is bool(INDEXES.intersection(types))


def test_of_a_long_list_a_part_is_read() -> None:
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in ["a/b," * 500] * 100:
            read.append(line)
            yield line
        yield "x/y"

    assert not names_any(lines(), ["x/y"])
    assert len(read) <= 2 + MAX_ACCEPT_LENGTH // len(read[0])
    assert names_any(["a/b" * 100, "x/y"], ["x/y"])
