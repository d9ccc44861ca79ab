"""Decision about one tag, made from its upstream digest, its local digest and the journal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mirror.oci import Digest
from mirror.records.sync_runs import TagChange


class TagAction(Enum):
    """Action of a rule for one tag."""

    COPY = auto()
    #: The tag is as the rule wants it. The run counts the tag as unchanged.
    LEAVE = auto()
    #: The tag differs from the upstream on purpose. The reason is reported.
    SKIP = auto()
    #: The rule cannot have the tag, although no client pushed it. The reason is an error.
    FAIL = auto()


@dataclass(frozen=True, slots=True)
class KnownTag:
    """State of a tag before a run.

    Attributes:
        local_digest: digest of the local tag. None if the local tag does not exist.
        stands_for: upstream digest represented by ``local_digest``: for a rule without changes the digest itself, for a
            rule with changes the original of the copy. None if the local tag does not exist, or is not a copy made with
            the changes of the rule.
        upstream_digest: digest of the upstream tag when a run last saw the tag. None if no run has seen the tag.
        pushed: True if a client pushed the tag. No rule may move it.
        immutable: True if the tag may not move.
        held_by: rule that comes before this one and holds the tag, with its source. Empty if there is none.
        taken_from: former source of the tag, if the rule may take the tag over. Empty if there is none.
        gone: True if the last run found the tag deleted upstream.
    """

    local_digest: Digest | None = None
    stands_for: Digest | None = None
    upstream_digest: Digest | None = None
    pushed: bool = False
    immutable: bool = False
    held_by: str = ""
    taken_from: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class TagDecision:
    """Action for a tag, with the reason.

    Attributes:
        action: copy ``wanted``, leave the tag because ``wanted`` is already present, or skip the tag.
        wanted: upstream digest to which the local tag should point, directly or through a copy with changes.
        change: change of the tag since a run last saw it. None if nothing has changed.
        reason: reason for skipping the tag, or for its failure. For a tag that the rule takes over, its former source.
    """

    action: TagAction
    wanted: Digest
    change: TagChange | None = None
    reason: str = ""


def decide_tag(upstream_digest: Digest, known: KnownTag, pin: Digest | None) -> TagDecision:
    """Decide about a tag present upstream.

    A local push wins. A tag that no client pushed belongs to the first rule that wants it (ADR 37).

    Args:
        upstream_digest: digest of the upstream tag.
        known: state of the tag before the run.
        pin: digest at which the tag is pinned. None if the tag is not pinned.
    """
    wanted = pin or upstream_digest
    # A plugin runs as root: content pushed here on purpose must not be replaced from elsewhere (ADR 9, ADR 11).
    if known.pushed:
        if known.stands_for == wanted:
            return TagDecision(TagAction.LEAVE, wanted)
        reason = f"the tag was pushed here, as {known.local_digest}; fix: delete the tag here to have it mirrored"
        return TagDecision(TagAction.SKIP, wanted, None, reason)
    if known.immutable and known.local_digest is not None and known.stands_for != wanted:
        reason = f"the tag is immutable here, as {known.local_digest}; see immutable under repositories:"
        return TagDecision(TagAction.SKIP, wanted, None, reason)
    if known.held_by:
        return _of_earlier_rule(wanted, known)
    change = TagChange.TAKEN_OVER if known.taken_from else _change(upstream_digest, known, pin)
    if known.stands_for == wanted:
        reason = f"pinned; the upstream tag points to {upstream_digest}" if upstream_digest != wanted else ""
        return TagDecision(TagAction.SKIP if reason else TagAction.LEAVE, wanted, change, reason)
    return TagDecision(TagAction.COPY, wanted, change, known.taken_from and f"taken over; it was {known.taken_from}")


def _of_earlier_rule(wanted: Digest, known: KnownTag) -> TagDecision:
    if known.stands_for == wanted:
        return TagDecision(TagAction.LEAVE, wanted)
    reason = (
        f"the tag points to {known.local_digest}, {known.held_by}, which comes first in the configuration; "
        "fix: exclude the tag under tags in one of the two rules, or give one of them another name under to"
    )
    return TagDecision(TagAction.FAIL, wanted, None, reason)


def _change(upstream_digest: Digest, known: KnownTag, pin: Digest | None) -> TagChange | None:
    if known.upstream_digest is None:
        return TagChange.APPEARED
    if upstream_digest != known.upstream_digest:
        return TagChange.HELD if pin is not None else TagChange.MOVED
    return TagChange.RETURNED if known.gone else None
