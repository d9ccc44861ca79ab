"""Earlier bundles that a delta assumes to be here."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mirror.bundle.bundle_errors import BundleIncomplete
from mirror.bundle.format.statement import Since, Statement
from mirror.bundle.importing.assumed_bundles import require_assumed_bundles
from mirror.oci import Digest
from mirror.records.bundle_trust import StreamState

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RECEIPT = Since(receipt=Digest.of(b"receipt"))


def delta(since: Since | None) -> Statement:
    return Statement("depot", 9, NOON, (), since=since)


def imported(serial: int | None) -> StreamState | None:
    return None if serial is None else StreamState("depot", serial, None, NOON, NOON)


@pytest.mark.parametrize(("last", "fix"), [(None, "made with no --since;"), (3, "made with --since 3;")])
def test_a_bundle_that_was_not_imported_is_named(last: int | None, fix: str):
    with pytest.raises(BundleIncomplete, match="import the bundles up to 4 first") as raised:
        require_assumed_bundles(delta(Since(serial=4)), imported(last))
    assert fix in str(raised.value)


@pytest.mark.parametrize("last", [4, 8, 9])
def test_later_bundles_do_as_well(last: int):
    require_assumed_bundles(delta(Since(serial=4)), imported(last))


@pytest.mark.parametrize("since", [None, RECEIPT])
@pytest.mark.parametrize("last", [None, 3])
def test_full_bundles_and_receipts_assume_no_bundle(since: Since | None, last: int | None):
    require_assumed_bundles(delta(since), imported(last))


def test_the_operator_may_accept_one_bundle():
    require_assumed_bundles(delta(Since(serial=4)), imported(3), allow_rollback=9)
    with pytest.raises(BundleIncomplete):
        require_assumed_bundles(delta(Since(serial=4)), imported(3), allow_rollback=8)
