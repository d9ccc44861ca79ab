"""Selection of tests: what ``make test`` runs, and what ``make matrix`` runs beyond that."""

from __future__ import annotations

import pytest

from tests.harness.trixie import ENGINE_BINARIES as NEWEST_ENGINE

#: Name of the fixture that is True in ``make matrix``. A test with it does more there.
WHOLE = "whole"


def is_selected(item: pytest.Item, *, matrix: bool) -> bool:
    """Return True if a test runs in ``make test``, or in ``make matrix``.

    ``make matrix`` leaves out what it would only repeat.
    """
    if not matrix:
        return not _is_left_out(item)
    return _is_left_out(item) or _does_more(item)


def _is_left_out(item: pytest.Item) -> bool:
    """Return True if ``make test`` leaves a test out."""
    callspec = getattr(item, "callspec", None)
    values = {} if callspec is None else callspec.params
    server = values.get("server")
    return bool(
        item.get_closest_marker("matrix_only")
        # Half of all combinations have an even sum of positions, and any pair of values is in one of them.
        or (item.get_closest_marker("pairwise") and callspec is not None and sum(callspec.indices.values()) % 2)
        or (item.get_closest_marker("newest_engine") and values.get("binaries", NEWEST_ENGINE) != NEWEST_ENGINE)
        or (server == "two-workers" and not item.get_closest_marker("two_workers"))
        or server == "tls"
    )


def _does_more(item: pytest.Item) -> bool:
    """Return True if a test has a long form, or generates more examples."""
    is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return is_property or WHOLE in getattr(item, "fixturenames", ())
