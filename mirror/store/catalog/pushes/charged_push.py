"""The push of the current task, and what its process knows of the quotas."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from mirror.records.lifecycle.quotas import Amounts, Push


@dataclass(frozen=True, slots=True, eq=False)
class KnownUsage:
    """The usage of an account at one moment.

    Attributes:
        used: what was stored.
        last_addition: the highest id in :data:`quota_additions` at that moment; 0 for none.
        generation: the generation of the catalog; None if a change was being committed.
        at_seconds: the moment, by the monotonic clock.
    """

    used: Amounts
    last_addition: int
    generation: int | None
    at_seconds: float


@dataclass(frozen=True, slots=True)
class ChargedPush:
    """A push, and what the process knows of its accounts.

    Attributes:
        push: the push.
        known: usage by scope. Other tasks replace its values.
        learned: what the transaction has read in addition. Valid once the transaction is committed.
    """

    push: Push
    known: Mapping[str, KnownUsage]
    learned: dict[str, KnownUsage] = field(default_factory=dict)


#: The push of a client for which the current task works. None for all other work: mirror rules, pull-through, commands.
PUSH: Final[ContextVar[ChargedPush | None]] = ContextVar("push", default=None)


def pusher(charged: ChargedPush | None) -> str | None:
    """Return the user who pushes."""
    return None if charged is None else charged.push.user
