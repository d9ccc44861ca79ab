"""Times as text for programs and for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.timestamps import machine_time, rounded_span, time_ago

NOW = datetime(2026, 11, 28, 18, 28, 40, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECONDS = st.integers(-(10**16), 10**17).map(lambda count: EPOCH + timedelta(microseconds=count))
MOMENTS = st.builds(datetime.astimezone, MICROSECONDS, ZONES)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW, "2026-11-28T18:28:40Z"),
        (NOW.replace(microsecond=999_999), "2026-11-28T18:28:40Z"),
        (datetime(2026, 11, 28, 19, 28, 40, tzinfo=timezone(timedelta(hours=1))), "2026-11-28T18:28:40Z"),
        (datetime(2026, 11, 28, 23, 30, tzinfo=timezone(-timedelta(hours=3))), "2026-11-29T02:30:00Z"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (None, None),
    ],
)
def test_a_time_for_programs_is_in_utc_with_whole_seconds(moment: datetime | None, text: str | None):
    assert machine_time(moment) == text


@given(MOMENTS)
def test_a_time_for_programs_is_read_back_as_the_same_second(moment: datetime):
    text = machine_time(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    read = datetime.fromisoformat(text)
    assert read.utcoffset() == timedelta(0)
    assert read == moment.replace(microsecond=0)


@given(MOMENTS, MOMENTS)
def test_times_for_programs_sort_as_text_as_the_times_do(earlier: datetime, later: datetime):
    earlier, later = sorted((earlier, later))
    assert machine_time(earlier) <= machine_time(later)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3600, "just now"),
        (0, "just now"),
        (0.999, "just now"),
        (1, "1 s ago"),
        (89, "89 s ago"),
        (90, "2 min ago"),
        (5399, "90 min ago"),
        (5400, "2 h ago"),
        (3 * 3600, "3 h ago"),
        (129_599, "36 h ago"),
        (129_600, "2 d ago"),
        (400 * 86_400, "400 d ago"),
    ],
)
def test_the_age_of_a_time_for_people(seconds: float, text: str):
    assert time_ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_the_age_does_not_depend_on_the_time_zone():
    assert time_ago(NOW.astimezone(timezone(timedelta(hours=5))) - timedelta(hours=3), NOW) == "3 h ago"


def test_a_time_that_has_not_been_is_never():
    assert time_ago(None, NOW) == "never"


def test_a_negative_span_is_no_time():
    assert rounded_span(timedelta(seconds=-1)) == "0 s"
