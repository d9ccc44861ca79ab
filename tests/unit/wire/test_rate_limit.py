from __future__ import annotations

import pytest

from mirror.wire.rate_limit import RateLimit, parse


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        ("100;w=21600", "76;w=21600", RateLimit(100, 76, 21600)),
        (" 100 ; w=21600 ", "0", RateLimit(100, 0, 21600)),
        ("100", "76;w=60", RateLimit(100, 76, 60)),
        ("100", "76", RateLimit(100, 76, None)),
        ("100", "500", RateLimit(100, 100, None)),
        ("0;w=1", "0;w=1", None),
        (None, "5", None),
        ("5", None, None),
        ("-1", "5", None),
        ("1e9", "5", None),
        ("9999999999", "5", None),
        ("100;w=abc", "5", None),
        ("100, 100;window=60", "5", None),
        ("\u0661", "5", None),
    ],
)
def test_quotas(limit: str | None, remaining: str | None, expected: RateLimit | None) -> None:
    assert parse(limit, remaining) == expected
