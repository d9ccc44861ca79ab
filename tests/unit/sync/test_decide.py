from __future__ import annotations

import pytest

from mirror.oci.digest import Digest
from mirror.registry.journal import Change
from mirror.sync.decide import Action, Known, decide

A, B, C = Digest.of(b"a"), Digest.of(b"b"), Digest.of(b"c")


def known(here: Digest | None = None, upstream: Digest | None = None, **more: bool) -> Known:
    """A tag that is here as it is there."""
    return Known(here, here, upstream, **more)


def copied(stands_for: Digest | None, upstream: Digest) -> Known:
    """A tag that is C here, a copy with changes."""
    return Known(C, stands_for, upstream, ours=True)


@pytest.mark.parametrize(
    ("there", "before", "pin", "action", "wanted", "change"),
    [
        # never seen
        (A, known(), None, Action.COPY, A, Change.APPEARED),
        (A, known(here=A), None, Action.LEAVE, A, Change.APPEARED),
        (A, known(here=B, ours=True), None, Action.COPY, A, Change.APPEARED),
        # as it was
        (A, known(A, A, ours=True), None, Action.LEAVE, A, None),
        (A, known(None, A), None, Action.COPY, A, None),
        # moved
        (B, known(A, A, ours=True), None, Action.COPY, B, Change.MOVED),
        (B, known(B, A, ours=True), None, Action.LEAVE, B, Change.MOVED),
        # gone, and there again
        (A, known(A, A, ours=True, gone=True), None, Action.LEAVE, A, Change.RETURNED),
        (B, known(A, A, ours=True, gone=True), None, Action.COPY, B, Change.MOVED),
        # a copy with changes
        (A, copied(A, A), None, Action.LEAVE, A, None),
        (A, copied(None, A), None, Action.COPY, A, None),
        (B, copied(A, A), None, Action.COPY, B, Change.MOVED),
        (B, copied(A, A), A, Action.SKIP, A, Change.HELD),
        (A, Known(A, None, A), None, Action.COPY, A, None),
        # pushed here
        (A, known(here=B), None, Action.SKIP, A, None),
        (B, known(C, A), None, Action.SKIP, B, None),
        # pinned
        (A, known(), A, Action.COPY, A, Change.APPEARED),
        (B, known(A, A, ours=True), A, Action.SKIP, A, Change.HELD),
        (B, known(A, B, ours=True), A, Action.SKIP, A, None),
        (B, known(B, B, ours=True), A, Action.COPY, A, None),
        (B, known(C, B), A, Action.SKIP, A, None),
        (A, known(A, A, ours=True), A, Action.LEAVE, A, None),
    ],
)
def test_what_is_to_be_done(
    there: Digest, before: Known, pin: Digest | None, action: Action, wanted: Digest, change: Change | None
) -> None:
    decision = decide(there, before, pin)
    assert (decision.action, decision.wanted, decision.change) == (action, wanted, change)
    assert bool(decision.reason) == (action is Action.SKIP)
