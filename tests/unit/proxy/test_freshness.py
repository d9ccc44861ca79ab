from datetime import timedelta

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.proxy.freshness import Freshness, FreshnessStep, LocalCopy, decide
from mirror.records.origins import Origin
from tests.support.clocks import START as NOW

DIGEST = Digest.of(b"a manifest")
TAG = Tag("latest")
OURS = LocalCopy(None)


def pulled(checked: float, asked: float | None = None) -> LocalCopy:
    """Return the local copy of a tag that was confirmed and asked about a number of seconds ago."""
    checked_at = NOW - timedelta(seconds=checked)
    asked_at = NOW - timedelta(seconds=checked if asked is None else asked)
    return LocalCopy(Origin("hub", Repository("a"), DIGEST, checked_at, asked_at))


@pytest.mark.parametrize(
    ("target", "copy", "online", "missed", "step"),
    [
        pytest.param(TAG, OURS, True, None, FreshnessStep.SERVE, id="pushed"),
        pytest.param(TAG, OURS, False, None, FreshnessStep.SERVE, id="pushed, offline"),
        pytest.param(DIGEST, OURS, True, None, FreshnessStep.SERVE, id="digest"),
        pytest.param(DIGEST, pulled(10**7), True, None, FreshnessStep.SERVE, id="digests never expire"),
        pytest.param(TAG, pulled(0), True, None, FreshnessStep.SERVE, id="just confirmed"),
        pytest.param(TAG, pulled(299), True, None, FreshnessStep.SERVE, id="fresh"),
        pytest.param(TAG, pulled(299), False, None, FreshnessStep.SERVE, id="fresh, offline"),
        pytest.param(TAG, pulled(300), True, None, FreshnessStep.REVALIDATE, id="no longer fresh"),
        pytest.param(TAG, pulled(300), False, None, FreshnessStep.SERVE_STALE, id="no longer fresh, offline"),
        pytest.param(TAG, pulled(300, asked=0), True, None, FreshnessStep.SERVE_STALE, id="just asked in vain"),
        pytest.param(
            TAG, pulled(9999, asked=119), True, None, FreshnessStep.SERVE_STALE, id="asked in vain within two minutes"
        ),
        pytest.param(
            TAG, pulled(9999, asked=120), True, None, FreshnessStep.REVALIDATE, id="asked in vain before that"
        ),
        pytest.param(TAG, pulled(-60), True, None, FreshnessStep.REVALIDATE, id="the clock was set back"),
        pytest.param(TAG, None, True, None, FreshnessStep.FETCH, id="nothing"),
        pytest.param(DIGEST, None, True, None, FreshnessStep.FETCH, id="no such digest"),
        pytest.param(TAG, None, False, None, FreshnessStep.REFUSE, id="nothing, offline"),
        pytest.param(TAG, None, True, 29, FreshnessStep.REFUSE, id="missed just now"),
        pytest.param(TAG, None, True, 30, FreshnessStep.FETCH, id="missed a while ago"),
        pytest.param(TAG, pulled(0), True, 1, FreshnessStep.SERVE, id="missed once, here now"),
    ],
)
def test_what_is_done(
    target: Tag | Digest, copy: LocalCopy | None, online: bool, missed: float | None, step: FreshnessStep
) -> None:
    missed_at = None if missed is None else NOW - timedelta(seconds=missed)
    assert decide(target, copy, online=online, missed_at=missed_at, now=NOW, freshness=Freshness()) is step
