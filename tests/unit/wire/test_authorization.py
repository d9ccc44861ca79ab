"""The ``Authorization`` header."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.wire.auth import basic_auth
from mirror.wire.auth.authorization import Authorization
from mirror.wire.auth.basic_auth import Login

SCHEMES = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1)
CREDENTIALS = st.text(string.ascii_letters + string.digits + "-._~+/= ,").map(str.strip)
BLANKS = st.text(" ", max_size=3)


@given(SCHEMES, CREDENTIALS, BLANKS, BLANKS)
def test_any_scheme_and_credentials_are_found(scheme: str, credentials: str, before: str, after: str) -> None:
    header = f"{scheme} {before}{credentials}{after}"
    assert Authorization.parse(header) == Authorization(scheme.lower(), credentials)


@given(st.text())
def test_any_text_is_taken_apart(text: str) -> None:
    found = Authorization.parse(text)
    assert " " not in found.scheme
    assert found.credentials == found.credentials.strip()


def test_a_login_that_was_built_is_found() -> None:
    login = Login("anna", "open sesame")
    found = Authorization.parse(basic_auth.build(login))
    assert (found.scheme, basic_auth.parse(found.credentials)) == ("basic", login)


@pytest.mark.parametrize("header", ["", "Bearer", "bearer ", "BEARER  "])
def test_credentials_may_be_missing(header: str) -> None:
    assert Authorization.parse(header) == Authorization(header.strip().lower(), "")


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(Authorization("bearer", "secret"))
