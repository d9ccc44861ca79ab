"""Sorting a great many things without keeping other threads from running.

``list.sort`` is one step for the interpreter: a million names take most of a second, in which nothing else runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

Item = TypeVar("Item")

_RUN: Final = 2048


def sort_cooperatively(
    items: Iterable[Item], key: Callable[[Item], Any], *, reverse: bool = False
) -> Generator[list[Item], None, None]:
    """Sort, a little at a time: short runs first, which are then merged.

    Args:
        items: what is sorted; equal items stay in their order.
        key, reverse: as for :func:`sorted`.

    Yields:
        The items in order, at most 2048 at a time. A step that is not that far yet yields an empty list.
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
