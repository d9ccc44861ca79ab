"""Sorting of large collections in small steps, so other threads can run in between.

``list.sort`` never releases the interpreter. A million names take most of a second, during which no other thread runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

Item = TypeVar("Item")

# Items in one sorted run, and in one step of the merge.
_RUN: Final = 2048


def sort_cooperatively(
    items: Iterable[Item], key: Callable[[Item], Any], *, reverse: bool = False
) -> Generator[list[Item], None, None]:
    """Sort in small steps: sort short runs first, then merge them.

    Args:
        items: the items. Equal items keep their order.
        key: sort key, as for :func:`sorted`.
        reverse: True for descending order, as for :func:`sorted`.

    Yields:
        The items in order, at most 2048 at a time. Steps before the merge yield an empty list.
    """
    runs: list[list[Item]] = []
    left = iter(items)
    while run := list(islice(left, _RUN)):
        run.sort(key=key, reverse=reverse)
        runs.append(run)
        yield []
    merged = iter(runs[0]) if len(runs) == 1 else heapq.merge(*runs, key=key, reverse=reverse)
    while piece := list(islice(merged, _RUN)):
        yield piece
