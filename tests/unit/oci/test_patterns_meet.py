from __future__ import annotations

from itertools import product

import pytest

from mirror.oci import Repository
from mirror.oci.name_pattern import NamePattern, patterns_meet

_PARTS = ("a", "b", "*")
_PATTERNS = [
    "/".join(parts)
    for length in (1, 2, 3)
    for parts in product(_PARTS, repeat=length - 1)
    for parts in [(*parts, last) for last in (*_PARTS, "**")]
]
_NAMES = [Repository("/".join(parts)) for length in (1, 2, 3, 4) for parts in product("ab", repeat=length)]


@pytest.mark.parametrize("first", _PATTERNS)
def test_patterns_meet_where_a_name_matches_both(first: str) -> None:
    for second in _PATTERNS:
        both = NamePattern(first), NamePattern(second)
        shared = any(None not in [pattern.match(name) for pattern in both] for name in _NAMES)
        assert patterns_meet(first, second) == shared, second
