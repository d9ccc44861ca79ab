from __future__ import annotations

import pytest

from mirror.oci import Digest
from mirror.records.sync_runs import TagChange
from mirror.sync.tag_decision import KnownTag, TagAction, decide_tag

A, B, C = Digest.of(b"a"), Digest.of(b"b"), Digest.of(b"c")


def known(here: Digest | None = None, upstream: Digest | None = None, **more: bool) -> KnownTag:
    """Return a tag that is the same here and upstream."""
    return KnownTag(here, here, upstream, **more)


def copied(stands_for: Digest | None, upstream: Digest) -> KnownTag:
    """Return a tag whose local manifest C is a derived plugin."""
    return KnownTag(C, stands_for, upstream, from_rule=True)


@pytest.mark.parametrize(
    ("upstream_digest", "before", "pin", "action", "wanted", "change"),
    [
        # never seen
        (A, known(), None, TagAction.COPY, A, TagChange.APPEARED),
        (A, known(here=A), None, TagAction.LEAVE, A, TagChange.APPEARED),
        (A, known(here=B, from_rule=True), None, TagAction.COPY, A, TagChange.APPEARED),
        # as it was
        (A, known(A, A, from_rule=True), None, TagAction.LEAVE, A, None),
        (A, known(None, A), None, TagAction.COPY, A, None),
        # moved
        (B, known(A, A, from_rule=True), None, TagAction.COPY, B, TagChange.MOVED),
        (B, known(B, A, from_rule=True), None, TagAction.LEAVE, B, TagChange.MOVED),
        # gone, and there again
        (A, known(A, A, from_rule=True, gone=True), None, TagAction.LEAVE, A, TagChange.RETURNED),
        (B, known(A, A, from_rule=True, gone=True), None, TagAction.COPY, B, TagChange.MOVED),
        # a copy with changes
        (A, copied(A, A), None, TagAction.LEAVE, A, None),
        (A, copied(None, A), None, TagAction.COPY, A, None),
        (B, copied(A, A), None, TagAction.COPY, B, TagChange.MOVED),
        (B, copied(A, A), A, TagAction.SKIP, A, TagChange.HELD),
        (A, KnownTag(A, None, A), None, TagAction.COPY, A, None),
        # pushed here
        (A, known(here=B), None, TagAction.SKIP, A, None),
        (B, known(C, A), None, TagAction.SKIP, B, None),
        # pinned
        (A, known(), A, TagAction.COPY, A, TagChange.APPEARED),
        (B, known(A, A, from_rule=True), A, TagAction.SKIP, A, TagChange.HELD),
        (B, known(A, B, from_rule=True), A, TagAction.SKIP, A, None),
        (B, known(B, B, from_rule=True), A, TagAction.COPY, A, None),
        (B, known(C, B), A, TagAction.SKIP, A, None),
        (A, known(A, A, from_rule=True), A, TagAction.LEAVE, A, None),
    ],
)
def test_what_is_to_be_done(
    upstream_digest: Digest,
    before: KnownTag,
    pin: Digest | None,
    action: TagAction,
    wanted: Digest,
    change: TagChange | None,
) -> None:
    decision = decide_tag(upstream_digest, before, pin)
    assert (decision.action, decision.wanted, decision.change) == (action, wanted, change)
    assert bool(decision.reason) == (action is TagAction.SKIP)
