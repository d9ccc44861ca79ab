"""Key sets of token issuers: the keys that are read, and the sets that are refused."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.issuer.jwk_set import JwkSet
from mirror.oci.errors import ConfigurationFault
from tests.support.token_issuer import jwk, private_key

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"]


def key_set(*entries: object) -> JwkSet:
    return JwkSet.parse(json.dumps({"keys": entries}).encode(), "F")


def entry(algorithm: str, kid: str | None = None, **members: Any) -> dict[str, Any]:
    return jwk(algorithm, kid, private_key(algorithm), **members)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_verifies_tokens_of_its_algorithms(algorithm: str) -> None:
    (key,) = key_set(entry(algorithm)).keys
    same_kind = {"RS256", "RS384", "RS512"} if algorithm.startswith("RS") else {algorithm}
    assert key.algorithms == same_kind


def test_a_key_for_one_algorithm_verifies_no_other() -> None:
    (key,) = key_set(entry("RS256", alg="RS384")).keys
    assert key.algorithms == {"RS384"}


def test_the_identifier_chooses() -> None:
    first, second = jwk("ES256", "first", private_key("ES256")), jwk("ES256", "second", private_key("ES256", 1))
    keys = key_set(first, second, entry("EdDSA", "third"))
    assert [key.kid for key in keys.candidates("ES256", "second")] == ["second"]
    assert [key.kid for key in keys.candidates("ES256", None)] == ["first", "second"]
    assert keys.candidates("ES256", "third") == []
    assert keys.candidates("ES256", "other") == []


def test_a_key_without_an_identifier_may_be_any() -> None:
    keys = key_set(entry("ES256"), entry("EdDSA", "named"))
    assert [key.kid for key in keys.candidates("ES256", "named")] == [None]
    assert [key.kid for key in keys.candidates("EdDSA", "named")] == ["named"]


SHORT = jwk("RS256", None, rsa.generate_private_key(65537, 1024))
KOBLITZ = jwk("ES256K", None, ec.generate_private_key(ec.SECP256K1()))


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        entry("RS256", use="enc"),
        entry("RS256", use=["sig"]),
        entry("RS256", alg="PS256"),
        entry("RS256", alg="HS256"),
        entry("RS256", alg="none"),
        entry("RS256", alg=["RS256"]),
        entry("ES256", alg="ES384"),
        SHORT,
        KOBLITZ,
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {"kty": "new"},
        {},
        "text",
        None,
    ],
)
def test_other_keys_are_left_out(unusable: object) -> None:
    assert len(key_set(unusable, entry("EdDSA")).keys) == 1
    with pytest.raises(ConfigurationFault, match="none of the 1 keys can verify a token"):
        key_set(unusable)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_private_key_is_refused(algorithm: str) -> None:
    private = jwt.get_algorithm_by_name(algorithm).to_jwk(private_key(algorithm), as_dict=True)
    with pytest.raises(ConfigurationFault, match="F: the set holds a private key"):
        key_set(entry("EdDSA"), private)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{}", b"null", b'{"keys": {}}', b'{"keys": [' + b"[" * 100_000, b'{"keys": 1}']
)
def test_what_is_no_key_set(content: bytes) -> None:
    with pytest.raises(ConfigurationFault, match="F: "):
        JwkSet.parse(content, "F")


def test_a_set_of_very_many_keys_is_refused() -> None:
    with pytest.raises(ConfigurationFault, match="at most 64 keys"):
        key_set(*[entry("EdDSA")] * 65)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)
GOOD = st.sampled_from([entry("RS256"), entry("ES256", "a"), entry("EdDSA")])
MEMBERS = st.sampled_from(["kty", "alg", "crv", "x", "y", "n", "e", "use", "kid", "d", "p", "k", "oth"])


@given(
    st.lists(st.builds(lambda good, more: {**good, **more}, GOOD, st.dictionaries(MEMBERS, JSON)) | JSON, max_size=4)
)
def test_any_set_is_keys_or_a_clear_refusal(entries: list[object]) -> None:
    try:
        keys = key_set(*entries).keys
    except ConfigurationFault as error:
        assert str(error).startswith("F: ")
    else:
        assert all(key.algorithms <= set(ALGORITHMS) and key.algorithms for key in keys)
