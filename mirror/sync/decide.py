"""What is to be done about one tag. Pure: from what it is there, what it is here, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mirror.oci.digest import Digest
from mirror.registry.journal import Change


class Action(Enum):
    """What is to be done."""

    COPY = auto()
    LEAVE = auto()
    SKIP = auto()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a tag before a run.

    Attributes:
        here: what it points to here; None where it is not here.
        stands_for: what ``here`` is there: itself, or what it is the wanted copy of; None where it is nothing wanted.
        upstream: what it pointed to there when it was last seen; None where it never was.
        ours: whether ``here`` came from the rule's upstream, so that the rule may move it.
        gone: whether it was no longer there.
    """

    here: Digest | None = None
    stands_for: Digest | None = None
    upstream: Digest | None = None
    ours: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about a tag, and why.

    Attributes:
        action: copy ``wanted``; leave the tag as it is, which is as it should be; or skip it.
        wanted: what it should point to here, or be a copy with changes of.
        change: what has happened since it was last seen; None: nothing.
        reason: why it is skipped.
    """

    action: Action
    wanted: Digest
    change: Change | None = None
    reason: str = ""


def decide(there: Digest, known: Known, pin: Digest | None) -> Decision:
    """Decide about a tag that the upstream has.

    What was pushed here wins: a tag that did not come from the rule's upstream is left alone.

    Args:
        there: what it points to there.
        known: what is known of it.
        pin: where it is held; None where it is free.
    """
    wanted = pin or there
    change = _change(there, known, pin)
    if known.stands_for == wanted:
        reason = f"pinned; upstream it is {there}" if there != wanted else ""
        return Decision(Action.SKIP if reason else Action.LEAVE, wanted, change, reason)
    if known.here not in {None, wanted} and not known.ours:
        reason = f"it was pushed here, as {known.here}: delete it here to have it mirrored"
        return Decision(Action.SKIP, wanted, None, reason)
    return Decision(Action.COPY, wanted, change)


def _change(there: Digest, known: Known, pin: Digest | None) -> Change | None:
    if known.upstream is None:
        return Change.APPEARED
    if there != known.upstream:
        return Change.HELD if pin is not None else Change.MOVED
    return Change.RETURNED if known.gone else None
