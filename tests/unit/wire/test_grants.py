"""Token requests, written and read."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ClientFault
from mirror.wire.auth import grants
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.grants import GrantRequest
from mirror.wire.auth.scopes import Scope
from mirror.wire.auth.tokens import Token, password_form, refresh_form, token_url

WORD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
SCOPES = st.lists(
    st.builds(
        Scope,
        st.just("repository"),
        st.from_regex(r"[a-z0-9]{1,5}(/[a-z0-9]{1,5})?", fullmatch=True),
        st.sampled_from([("pull",), ("pull", "push"), ("*",), ()]),
    ),
    max_size=3,
)


@given(WORD, SCOPES, WORD)
def test_a_url_of_ours_is_read_as_it_was_built(service: str, scopes: list[Scope], account: str) -> None:
    url = token_url("https://mirror.example/token", service, map(str, scopes), account)
    assert GrantRequest.parse_query(urlsplit(url).query, None) == GrantRequest(service, tuple(scopes))


@given(WORD, SCOPES, WORD, WORD)
def test_a_form_with_a_password(service: str, scopes: list[Scope], username: str, password: str) -> None:
    form = password_form(service, map(str, scopes), "client", username, password)
    assert GrantRequest.parse_form(form) == GrantRequest(service, tuple(scopes), Login(username, password))


@given(WORD, SCOPES, WORD)
def test_a_form_with_an_identity_token(service: str, scopes: list[Scope], secret: str) -> None:
    form = refresh_form(service, map(str, scopes), "client", secret)
    assert GrantRequest.parse_form(form) == GrantRequest(service, tuple(scopes), identity_token=secret)


@given(st.binary() | st.text(alphabet="grant_type=password&refresh_token%0").map(str.encode))
def test_any_bytes_are_a_form_or_none(body: bytes) -> None:
    try:
        asked = GrantRequest.parse_form(body)
    except ClientFault:
        return
    assert (asked.login is None) != (asked.identity_token is None)


@pytest.mark.parametrize(
    "query", ["scope=%ff", "&".join(f"a{number}=1" for number in range(1000)), "grant_type=authorization_code", ""]
)
def test_forms_that_are_refused(query: str) -> None:
    with pytest.raises(ClientFault):
        GrantRequest.parse_form(query.encode())


def test_scopes_may_be_repeated_or_separated_by_spaces() -> None:
    repeated = GrantRequest.parse_query("scope=repository:a:pull&scope=repository(plugin):b:push,pull", None)
    joined = GrantRequest.parse_query("scope=repository:a:pull+repository(plugin):b:push,pull", None)
    assert repeated == joined
    assert [scope.name for scope in joined.scopes] == ["a", "b"]


def test_an_answer_is_read_as_it_was_built() -> None:
    body = grants.answer("abc", 300, datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC))
    assert Token.parse(body) == Token("abc", 300)
    assert b'"issued_at": "2026-11-24T12:00:01Z"' in body
    assert b'"access_token": "abc"' in body


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(GrantRequest(None, (), Login("anna", "secret"), "secret"))
