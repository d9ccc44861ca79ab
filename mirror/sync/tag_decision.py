"""The decision about one tag, by its upstream and local digests and by the journal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mirror.oci import Digest
from mirror.records.sync_runs import TagChange


class TagAction(Enum):
    """The things that a rule can do about a tag."""

    COPY = auto()
    LEAVE = auto()
    SKIP = auto()


@dataclass(frozen=True, slots=True)
class KnownTag:
    """The state of a tag before a run.

    Attributes:
        local_digest: the digest that the local tag points to; None where there is no such tag.
        stands_for: the upstream digest that ``local_digest`` stands for: itself, or what it is the wanted copy of; None
            where it stands for nothing wanted.
        upstream_digest: the digest of the upstream tag when it was last seen; None where it never was.
        from_rule: whether ``local_digest`` came from the rule's upstream, so that the rule may move the tag.
        gone: whether the tag was no longer upstream.
    """

    local_digest: Digest | None = None
    stands_for: Digest | None = None
    upstream_digest: Digest | None = None
    from_rule: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class TagDecision:
    """The action for a tag, and its reason.

    Attributes:
        action: copy ``wanted``; leave the tag, which is as it should be; or skip it.
        wanted: the upstream digest that the local tag should point to, or be a copy with changes of.
        change: what has happened since the tag was last seen; None: nothing.
        reason: why the tag is skipped.
    """

    action: TagAction
    wanted: Digest
    change: TagChange | None = None
    reason: str = ""


def decide_tag(upstream_digest: Digest, known: KnownTag, pin: Digest | None) -> TagDecision:
    """Decide about a tag that the upstream has.

    A local push wins: a tag that did not come from the rule's upstream is left alone.

    Args:
        upstream_digest: the digest of the upstream tag.
        known: the state of the tag before the run.
        pin: the digest at which the tag is held; None where it is free.
    """
    wanted = pin or upstream_digest
    change = _change(upstream_digest, known, pin)
    if known.stands_for == wanted:
        reason = f"pinned; upstream it is {upstream_digest}" if upstream_digest != wanted else ""
        return TagDecision(TagAction.SKIP if reason else TagAction.LEAVE, wanted, change, reason)
    if known.local_digest not in {None, wanted} and not known.from_rule:
        reason = f"it was pushed here, as {known.local_digest}: delete it here to have it mirrored"
        return TagDecision(TagAction.SKIP, wanted, None, reason)
    return TagDecision(TagAction.COPY, wanted, change)


def _change(upstream_digest: Digest, known: KnownTag, pin: Digest | None) -> TagChange | None:
    if known.upstream_digest is None:
        return TagChange.APPEARED
    if upstream_digest != known.upstream_digest:
        return TagChange.HELD if pin is not None else TagChange.MOVED
    return TagChange.RETURNED if known.gone else None
