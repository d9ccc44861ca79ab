"""Names of users of the operating system."""

from __future__ import annotations

import os

from mirror.runtime.os_user import os_user_name

NOBODY_HAS_THIS_NUMBER = 2_000_000_011


def test_a_user_is_named() -> None:
    assert os_user_name(0) == "root"


def test_a_user_without_a_name_is_a_number(monkeypatch) -> None:
    assert os_user_name(NOBODY_HAS_THIS_NUMBER) == str(NOBODY_HAS_THIS_NUMBER)
    monkeypatch.setattr(os, "getuid", lambda: NOBODY_HAS_THIS_NUMBER)
    assert os_user_name() == str(NOBODY_HAS_THIS_NUMBER)
