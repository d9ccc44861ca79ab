from __future__ import annotations

from typing import Any

import pytest

from mirror.oci import Digest
from mirror.records.sync_runs import TagChange
from mirror.transfer.tags.tag_decision import KnownTag, TagAction, decide_tag

ELSEWHERE = "brought by rule other from hub/other"
A, B, C = Digest.of(b"a"), Digest.of(b"b"), Digest.of(b"c")


def known(here: Digest | None = None, upstream: Digest | None = None, **more: Any) -> KnownTag:
    """Return a tag that is the same here and upstream."""
    return KnownTag(here, here, upstream, **more)


def copied(stands_for: Digest | None, upstream: Digest) -> KnownTag:
    """Return a tag whose local manifest C is a derived plugin."""
    return KnownTag(C, stands_for, upstream)


@pytest.mark.parametrize(
    ("upstream_digest", "before", "pin", "action", "wanted", "change"),
    [
        # never seen
        (A, known(), None, TagAction.COPY, A, TagChange.APPEARED),
        (A, known(here=A), None, TagAction.LEAVE, A, TagChange.APPEARED),
        (A, known(here=B), None, TagAction.COPY, A, TagChange.APPEARED),
        # as it was
        (A, known(A, A), None, TagAction.LEAVE, A, None),
        (A, known(None, A), None, TagAction.COPY, A, None),
        # moved
        (B, known(A, A), None, TagAction.COPY, B, TagChange.MOVED),
        (B, known(B, A), None, TagAction.LEAVE, B, TagChange.MOVED),
        # gone, and there again
        (A, known(A, A, gone=True), None, TagAction.LEAVE, A, TagChange.RETURNED),
        (B, known(A, A, gone=True), None, TagAction.COPY, B, TagChange.MOVED),
        # a copy with changes
        (A, copied(A, A), None, TagAction.LEAVE, A, None),
        (A, copied(None, A), None, TagAction.COPY, A, None),
        (B, copied(A, A), None, TagAction.COPY, B, TagChange.MOVED),
        (B, copied(A, A), A, TagAction.SKIP, A, TagChange.HELD),
        (A, KnownTag(A, None, A), None, TagAction.COPY, A, None),
        # pushed here
        (A, known(here=B, pushed=True), None, TagAction.SKIP, A, None),
        (B, known(C, A, pushed=True), None, TagAction.SKIP, B, None),
        (B, known(A, A, pushed=True), None, TagAction.SKIP, B, None),
        (A, known(A, A, pushed=True), None, TagAction.LEAVE, A, None),
        (B, known(A, A, pushed=True), A, TagAction.LEAVE, A, None),
        (A, KnownTag(A, None, A, pushed=True), None, TagAction.SKIP, A, None),
        # immutable here
        (B, known(A, A, immutable=True), None, TagAction.SKIP, B, None),
        (B, known(A, A, immutable=True), A, TagAction.SKIP, A, TagChange.HELD),
        (A, known(A, A, immutable=True), None, TagAction.LEAVE, A, None),
        (A, known(None, immutable=True), None, TagAction.COPY, A, TagChange.APPEARED),
        # brought by a rule that is gone or comes later, or pulled through from elsewhere
        (A, known(here=B, taken_from=ELSEWHERE), None, TagAction.COPY, A, TagChange.TAKEN_OVER),
        (A, known(here=A, taken_from=ELSEWHERE), None, TagAction.LEAVE, A, TagChange.TAKEN_OVER),
        (B, known(here=B, taken_from=ELSEWHERE), A, TagAction.COPY, A, TagChange.TAKEN_OVER),
        (B, known(here=A, taken_from=ELSEWHERE), A, TagAction.SKIP, A, TagChange.TAKEN_OVER),
        # held by a rule that comes first
        (A, known(here=B, held_by=ELSEWHERE), None, TagAction.FAIL, A, None),
        (A, known(here=A, held_by=ELSEWHERE), None, TagAction.LEAVE, A, None),
        (A, KnownTag(A, None, held_by=ELSEWHERE), None, TagAction.FAIL, A, None),
        # pinned
        (A, known(), A, TagAction.COPY, A, TagChange.APPEARED),
        (B, known(A, A), A, TagAction.SKIP, A, TagChange.HELD),
        (B, known(A, B), A, TagAction.SKIP, A, None),
        (B, known(B, B), A, TagAction.COPY, A, None),
        (B, known(C, B, pushed=True), A, TagAction.SKIP, A, None),
        (B, known(C, B), A, TagAction.COPY, A, None),
        (A, known(A, A), A, TagAction.LEAVE, A, None),
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
    taken_over = bool(before.taken_from) and action is TagAction.COPY
    assert bool(decision.reason) == (action in {TagAction.SKIP, TagAction.FAIL} or taken_over)
