"""How often something is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something that may pass is tried.

    Attributes:
        attempts: tries of one request in all, and fruitless tries in a row to go on with one blob.
        first_pause_seconds: the pause after the first failure; it doubles, with jitter.
        longest_pause_seconds: no pause is longer; a ``Retry-After`` beyond it ends the tries.
    """

    attempts: int = 3
    first_pause_seconds: float = 0.25
    longest_pause_seconds: float = 10.0
