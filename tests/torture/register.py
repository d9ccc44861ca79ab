"""A tag that several clients move at the same time, and the moves that may be the last one. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """A change of the tag. Times are seconds of one clock.

    Attributes:
        value: Digest that the tag points to after the move, or None if the tag was deleted.
        asked: Time before the request was sent.
        acknowledged: Time after the response was read, or infinity without a response.
    """

    value: str | None
    asked: float
    acknowledged: float = math.inf


def may_be_last(moves: Sequence[Move]) -> list[Move]:
    """Return the moves that no acknowledged move overtook: none of those was requested after this one was acknowledged.

    A move without a response may have been executed at any time since its request, or never. It overtakes no move.
    """
    latest = max((move.asked for move in moves if move.acknowledged < math.inf), default=-math.inf)
    return [move for move in moves if move.acknowledged >= latest]


def may_be_read(moves: Sequence[Move], value: str | None, asked: float, answered: float) -> bool:
    """Return True if a read may have found `value`.

    A read may find a value if a move to it was requested before the read was answered. No other move may have been
    requested after that move was acknowledged, and itself acknowledged before the read was sent.

    Args:
        moves: All moves.
        value: Value that the read found.
        asked: Time before the read was sent.
        answered: Time after its response was read.
    """
    over = [move.asked for move in moves if move.acknowledged < asked]
    return any(
        move.value == value and move.asked < answered and not any(later > move.acknowledged for later in over)
        for move in moves
    )
