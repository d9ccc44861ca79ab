"""The age of a bundle."""

from datetime import UTC, datetime, timedelta

import pytest

from mirror.bundle.bundle_age import AgeLimits, judge_age
from mirror.bundle.bundle_errors import BundleUntrusted

NOW = datetime(2026, 11, 29, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "age", [timedelta(0), timedelta(days=30), timedelta(minutes=-59)], ids=["new", "30 days", "an hour's difference"]
)
def test_a_bundle_of_a_usual_age_is_used_without_a_word(age: timedelta):
    assert judge_age(NOW - age, NOW, AgeLimits()) is None


@pytest.mark.parametrize(
    ("age", "warning"),
    [
        (timedelta(days=31), "the bundle is 31 d old (2026-10-29T08:00:00Z); a newer one may have been held back"),
        (
            timedelta(days=-2),
            "the bundle was made 2 d in the future (2026-12-01T08:00:00Z): the clock of this machine or that of its "
            "maker is wrong",
        ),
    ],
)
def test_a_strange_age_is_told(age: timedelta, warning: str):
    assert judge_age(NOW - age, NOW, AgeLimits()) == warning


def test_an_old_bundle_is_refused_only_where_that_is_configured():
    limits = AgeLimits(refused_after=timedelta(days=90))
    assert "held back" in (judge_age(NOW - timedelta(days=90), NOW, limits) or "")
    with pytest.raises(BundleUntrusted, match=r"is 91 d old .*bundles\.max_age refuses bundles older than 90 d; fix:"):
        judge_age(NOW - timedelta(days=91), NOW, limits)
