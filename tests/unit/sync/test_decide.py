from __future__ import annotations

import pytest

from mirror.oci.digest import Digest
from mirror.registry.journal import Change
from mirror.sync.decide import Action, Known, decide

A, B, C = Digest.of(b"a"), Digest.of(b"b"), Digest.of(b"c")


@pytest.mark.parametrize(
    ("there", "known", "pin", "action", "wanted", "change"),
    [
        # never seen
        (A, Known(), None, Action.COPY, A, Change.APPEARED),
        (A, Known(here=A), None, Action.LEAVE, A, Change.APPEARED),
        (A, Known(here=B, ours=True), None, Action.COPY, A, Change.APPEARED),
        # as it was
        (A, Known(A, A, ours=True), None, Action.LEAVE, A, None),
        (A, Known(None, A), None, Action.COPY, A, None),
        # moved
        (B, Known(A, A, ours=True), None, Action.COPY, B, Change.MOVED),
        (B, Known(B, A, ours=True), None, Action.LEAVE, B, Change.MOVED),
        # gone, and there again
        (A, Known(A, A, ours=True, gone=True), None, Action.LEAVE, A, Change.RETURNED),
        (B, Known(A, A, ours=True, gone=True), None, Action.COPY, B, Change.MOVED),
        # pushed here
        (A, Known(here=B), None, Action.SKIP, A, None),
        (B, Known(C, A), None, Action.SKIP, B, None),
        # pinned
        (A, Known(), A, Action.COPY, A, Change.APPEARED),
        (B, Known(A, A, ours=True), A, Action.SKIP, A, Change.HELD),
        (B, Known(A, B, ours=True), A, Action.SKIP, A, None),
        (B, Known(B, B, ours=True), A, Action.COPY, A, None),
        (B, Known(C, B), A, Action.SKIP, A, None),
        (A, Known(A, A, ours=True), A, Action.LEAVE, A, None),
    ],
)
def test_what_is_to_be_done(
    there: Digest, known: Known, pin: Digest | None, action: Action, wanted: Digest, change: Change | None
) -> None:
    decision = decide(there, known, pin)
    assert (decision.action, decision.wanted, decision.change) == (action, wanted, change)
    assert bool(decision.reason) == (action is Action.SKIP)
