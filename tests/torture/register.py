"""A tag that several clients move at once: which of their moves may be the last one. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """A change of the tag, and when it was asked for and acknowledged, in seconds of one clock.

    Attributes:
        value: where the tag points after it; None: it was deleted.
        asked: before the request was sent.
        acknowledged: after the answer was read; infinity where there was none.
    """

    value: str | None
    asked: float
    acknowledged: float = math.inf


def may_be_last(moves: Sequence[Move]) -> list[Move]:
    """The moves that nothing acknowledged has overtaken: none was asked for after this one was acknowledged.

    A move without an answer may have been done at any time since it was asked for, or never; it overtakes nothing.
    """
    latest = max((move.asked for move in moves if move.acknowledged < math.inf), default=-math.inf)
    return [move for move in moves if move.acknowledged >= latest]


def may_be_read(moves: Sequence[Move], value: str | None, asked: float, answered: float) -> bool:
    """Whether a read that was asked for and answered at these times may have found a value.

    It may where the move to it had been asked for, and no other move was asked for after that one was acknowledged and
    was itself acknowledged before the read was asked for.
    """
    over = [move.asked for move in moves if move.acknowledged < asked]
    return any(
        move.value == value and move.asked < answered and not any(later > move.acknowledged for later in over)
        for move in moves
    )
