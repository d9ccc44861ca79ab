"""Sorting in short steps."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.runtime.concurrency.cooperative_sort import sort_cooperatively


@given(st.lists(st.text()), st.booleans())
def test_it_sorts_as_sorted_does(items: list[str], reverse: bool) -> None:
    assert list(chain.from_iterable(sort_cooperatively(items, len, reverse=reverse))) == sorted(
        items, key=len, reverse=reverse
    )


@pytest.mark.parametrize("reverse", [True, False])
def test_many_runs_are_merged_in_steps(reverse: bool) -> None:
    numbers = [number * 7919 % 100_003 for number in range(20_000)]
    steps = list(sort_cooperatively(numbers, lambda number: number // 10, reverse=reverse))
    assert list(chain.from_iterable(steps)) == sorted(numbers, key=lambda number: number // 10, reverse=reverse)
    assert max(map(len, steps)) <= 2048
