"""``Authorization: Basic``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.wire.auth import basic_auth
from mirror.wire.auth.basic_auth import Login

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT.filter(lambda name: ":" not in name), TEXT)
def test_a_login_is_read_as_it_was_built(username: str, password: str) -> None:
    login = Login(username, password)
    assert basic_auth.parse(basic_auth.build(login).removeprefix("Basic ")) == login


@given(st.text())
def test_any_text_is_a_login_or_none(text: str) -> None:
    login = basic_auth.parse(text)
    assert login is None or ":" not in login.username


@pytest.mark.parametrize("encoded", ["", "YW5uYQ==", "not base64", "/w==", "\u00fc"])
def test_what_is_no_login(encoded: str) -> None:
    assert basic_auth.parse(encoded) is None


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Login("anna", "secret"))
