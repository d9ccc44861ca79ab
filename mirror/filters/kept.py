"""What was found out lately, and is worth keeping."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_MOST_KEPT: Final = 1024


class Kept(Generic[Key, Value]):
    """The values that were put last.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value; None where it is not kept."""
        return self._kept.get(key)

    def put(self, key: Key, value: Value) -> Value:
        """Keep a value as the latest, and let go of the oldest one where there are too many. Gives the value."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value
