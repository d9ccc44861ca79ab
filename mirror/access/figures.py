"""What is counted of logins."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from mirror.runtime.metrics import Family, Kind, Share


class Outcome(StrEnum):
    """How a login ended."""

    PASSWORD = "password"  # noqa: S105 - the name of an outcome
    TOKEN = "token"  # noqa: S105 - as above
    WRONG = "wrong"
    HELD_UP = "held_up"


LOGINS: Final = Family(
    "plugin_mirror_logins_total",
    "Logins, by what proved them (password, token), or why not: wrong, or held_up after too many wrong ones.",
    Kind.COUNTER,
    ("outcome",),
    [(outcome.value,) for outcome in Outcome],
)


class LoginFigures:
    """Counts logins.

    Args:
        share: where; its figures have :data:`LOGINS`.
    """

    def __init__(self, share: Share) -> None:
        self._counts = {outcome: share.figure(LOGINS, outcome.value) for outcome in Outcome}

    def ended(self, outcome: Outcome) -> None:
        """Count one."""
        self._counts[outcome].add()
