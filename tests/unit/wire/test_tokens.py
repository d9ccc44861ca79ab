from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ManifestInvalid
from mirror.wire.auth.tokens import Token, token_url


@given(
    st.text(min_size=1).map(str.strip).filter(bool),
    st.lists(st.text(min_size=1), max_size=3),
    st.text(min_size=1),
)
def test_what_is_put_into_a_url_comes_out_of_it(service: str, scopes: list[str], account: str) -> None:
    url = token_url("https://auth.example/token?kept=1", service, scopes, account)
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert query == {"kept": ["1"], "service": [service], "account": [account], **({"scope": scopes} if scopes else {})}


def test_a_url_without_anything() -> None:
    assert token_url("https://auth.example/token", None, [], None) == "https://auth.example/token"


@given(st.binary() | st.text().map(str.encode) | st.sampled_from([b'{"token": ""}', b'{"token": "a b"}', b"[" * 10**5]))
def test_answers_without_a_token(body: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        Token.parse(body)


def test_a_token_is_not_shown() -> None:
    assert "abc" not in repr(Token.parse(b'{"token": "abc"}'))
