from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.durations import duration_text, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("90s", 90), ("30m", 1800), ("6h", 21600), ("7d", 604800), ("3153600000s", 3153600000)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0s", "5", "1.5h", "-1h", "1w", "h", "9999999999d", "1h30m"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ConfigurationFault, match="not a duration"):
        parse_duration(text)


@given(st.integers(1, 10**8))
def test_a_duration_can_be_read_back(seconds: int) -> None:
    assert parse_duration(duration_text(timedelta(seconds=seconds))) == timedelta(seconds=seconds)
