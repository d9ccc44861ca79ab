"""Tokens of a token issuer: what they allow, and the tokens that are refused."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.access.issuer.issued_tokens import IssuedTokens
from mirror.access.issuer.jwk_set import JwkSet
from mirror.access.token_signing import Grant
from mirror.oci.errors import Unauthorized
from tests.support.clocks import HandClock
from tests.support.token_issuer import ISSUER, SERVICE, TokenIssuer, access

CLOCK = HandClock()
ALL = {"pull", "push", "delete"}


class Keys:
    """Keys in memory. Implements KeySource."""

    def __init__(self, current: bytes, newer: bytes | None = None) -> None:
        self._current, self._newer = JwkSet.parse(current, "F"), JwkSet.parse(newer or current, "F")
        self.looks = 0

    async def current(self) -> JwkSet:
        return self._current

    async def newer(self) -> JwkSet:
        self.looks += 1
        return self._newer


def tokens(keys: Keys) -> IssuedTokens:
    return IssuedTokens(keys, ISSUER, SERVICE, CLOCK)


SITE = TokenIssuer()
TOKENS = tokens(Keys(SITE.key_set))


def issued(*entries: Any, **options: Any) -> str:
    return SITE.token(*entries, now=CLOCK.now(), **options)


async def refusal(token: str, of: IssuedTokens = TOKENS) -> str:
    with pytest.raises(Unauthorized) as raised:
        await of.read(token)
    assert raised.value.detail["error"] == "invalid_token"
    return str(raised.value)


@pytest.mark.parametrize("kid", ["first", None])
@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"])
async def test_a_token_says_who_may_do_what(algorithm: str, kid: str | None) -> None:
    issuer = TokenIssuer(algorithm, kid)
    token = issuer.token(access("acme/driver", "pull", "push"), now=CLOCK.now())
    found = await tokens(Keys(issuer.key_set)).read(token)
    assert found == Grant("anna", "issued:", {"acme/driver": frozenset({"pull", "push"})})


@pytest.mark.parametrize(
    ("entries", "repositories", "catalog"),
    [
        ([], {}, False),
        ([access("a", "*")], {"a": ALL}, False),
        ([access("a", "pull"), access("a", "push")], {"a": {"pull", "push"}}, False),
        ([access("a", "pull", kind="repository(plugin)")], {"a": {"pull"}}, False),
        ([access("a", "pull") | {"class": "plugin"}], {"a": {"pull"}}, False),
        ([access("a", "pull", "approve")], {"a": {"pull", "approve"}}, False),
        ([access("catalog", "*", kind="registry")], {}, True),
        ([access("catalog", "pull", kind="registry")], {}, False),
        ([access("a", "pull", kind="other")], {}, False),
        ([{"type": "repository", "name": "a", "actions": None}], {"a": set()}, False),
    ],
)
async def test_what_a_token_allows(entries: list[Any], repositories: dict[str, set[str]], catalog: bool) -> None:
    assert await TOKENS.read(issued(*entries)) == Grant("anna", "issued:", repositories, catalog)


@pytest.mark.parametrize(
    ("identifier", "told"), [("01J-8", "01J-8"), ("~" * 64, "~" * 64), ("~" * 65, ""), ("a b", ""), ("é", ""), (7, "")]
)
async def test_the_audit_has_the_identifier_of_a_token_if_it_is_plain(identifier: object, told: str) -> None:
    assert (await TOKENS.read(issued(jti=identifier))).proof == f"issued:{told}"


async def test_the_asterisk_of_an_issuer_never_means_approve_or_operate() -> None:
    (actions,) = (await TOKENS.read(issued(access("a", "*")))).repositories.values()
    assert actions == ALL


@pytest.mark.parametrize("claims", [{"without": "sub"}, {"sub": None}, {"sub": ""}])
async def test_a_token_without_a_subject_is_anonymous(claims: dict[str, Any]) -> None:
    assert (await TOKENS.read(issued(access("a", "pull"), **claims))).user == ""


@pytest.mark.parametrize(
    "claims", [{"aud": [SERVICE, "x"]}, {"without": "access"}, {"access": None}, {"without": "iat"}]
)
async def test_a_token_that_other_issuers_write(claims: dict[str, Any]) -> None:
    assert (await TOKENS.read(issued(**claims))).user == "anna"


NOW = int(CLOCK.now().timestamp())


@pytest.mark.parametrize("claims", [{"exp": NOW - 4}, {"exp": NOW - 4.5}, {"nbf": NOW + 5}, {"iat": NOW + 5}])
async def test_clocks_may_differ_by_five_seconds(claims: dict[str, Any]) -> None:
    assert (await TOKENS.read(issued(**claims))).user == "anna"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": NOW - 5}, "it has expired"),
        ({"without": "exp"}, "its claim exp is missing"),
        ({"exp": "4102444800"}, "its claim exp has a wrong type"),
        ({"exp": True}, "its claim exp has a wrong type"),
        ({"exp": None}, "its claim exp has a wrong type"),
        ({"exp": [NOW + 300]}, "its claim exp has a wrong type"),
        ({"exp": float("inf")}, "its claim exp has a wrong"),
        ({"exp": float("nan")}, ""),
        ({"nbf": NOW + 6}, "it is not yet valid"),
        ({"iat": NOW + 6}, "it is not yet valid"),
        ({"nbf": 1e308}, "it is not yet valid"),
        ({"iss": "another issuer"}, f"its issuer is not {ISSUER}"),
        ({"iss": [ISSUER]}, "its claim iss has a wrong type"),
        ({"without": "iss"}, "its claim iss is missing"),
        ({"aud": "another service"}, f"its audience is not {SERVICE}"),
        ({"aud": []}, "its audience is not"),
        ({"aud": {SERVICE: 1}}, "its claim aud has a wrong type"),
        ({"without": "aud"}, "its claim aud is missing"),
        ({"sub": 1}, "its claim sub has a wrong type"),
        ({"sub": "cert:CN=host-12"}, "its claim sub has a wrong value"),
        ({"sub": "anna\n"}, "its claim sub has a wrong value"),
        ({"sub": "änna"}, "its claim sub has a wrong value"),
        ({"sub": "a" * 256}, "its claim sub has a wrong value"),
        ({"access": {}}, "its claim access has a wrong type"),
        ({"access": ["repository:a:pull"]}, "its claim access.0 has a wrong type"),
        (
            {"access": [{"type": "repository", "name": "a", "actions": "pull"}]},
            "its claim access.0.actions has a wrong type",
        ),
        ({"access": [{"type": "repository", "actions": ["pull"]}]}, "its claim access.0.name is missing"),
        ({"access": [{"type": None, "name": "a", "actions": []}]}, "its claim access.0.type has a wrong type"),
        ({"jti": "x" * 20_000}, "it has more than 16384 characters"),
    ],
)
async def test_claims_that_are_refused(claims: dict[str, Any], why: str) -> None:
    assert (await refusal(issued(**claims))).startswith(f"the token is refused: {why}")


@pytest.mark.parametrize(
    "headers",
    [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": True}, {"alg": "ES512"}, {"alg": ""}, {"kid": 7}],
)
async def test_headers_that_are_refused(headers: dict[str, Any]) -> None:
    head, payload, signature = issued().split(".")
    changed = json.loads(base64.urlsafe_b64decode(head + "==")) | headers
    await refusal(f"{_encoded(json.dumps(changed).encode())}.{payload}.{signature}")


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


async def test_an_extension_that_is_signed_is_refused() -> None:
    token = jwt.encode({"iss": ISSUER}, SITE.key, algorithm="ES256", headers={"crit": ["exp"], "kid": "first"})
    await refusal(token)


async def test_a_key_in_the_header_is_no_key_of_the_issuer() -> None:
    other = TokenIssuer(number=1)
    own = json.loads(other.key_set)["keys"][0]
    why = "no key of the token issuer has made its signature"
    for kid in ("first", "other"):
        token = TokenIssuer(number=1, kid=kid).token(
            headers={"jwk": own, "jku": "https://evil.example"}, now=CLOCK.now()
        )
        assert why in await refusal(token)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("site", [SITE, TokenIssuer("RS256")], ids=["EC", "RSA"])
@pytest.mark.filterwarnings("ignore")  # the secret is short
async def test_a_public_key_is_no_secret(algorithm: str, site: TokenIssuer) -> None:
    for secret in (
        site.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        site.key_set,
        b"",
    ):
        signing_input = f"{_encoded(json.dumps({'alg': algorithm, 'kid': 'first'}).encode())}.{_payload(site)}".encode()
        signature = jwt.get_algorithm_by_name(algorithm).sign(signing_input, secret)
        await refusal(f"{signing_input.decode()}.{_encoded(signature)}", tokens(Keys(site.key_set)))


def _payload(site: TokenIssuer) -> str:
    return site.token(access("a", "*"), now=CLOCK.now()).split(".")[1]


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
async def test_a_token_without_a_signature(algorithm: str) -> None:
    head = _encoded(json.dumps({"alg": algorithm, "kid": "first"}).encode())
    await refusal(f"{head}.{_payload(SITE)}.")
    await refusal(f"{head}.{_payload(SITE)}.{issued().rsplit('.', 1)[1]}")


async def test_a_changed_token_is_refused() -> None:
    head, _, signature = issued(access("a", "pull")).split(".")
    await refusal(f"{head}.{_payload(SITE)}.{signature}")


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256K", "PS256"])
async def test_another_algorithm_makes_the_source_not_look_again(algorithm: str) -> None:
    keys = Keys(SITE.key_set)
    head = _encoded(json.dumps({"alg": algorithm, "kid": "other"}).encode())
    why = await refusal(f"{head}.{_payload(SITE)}.{issued().rsplit('.', 1)[1]}", tokens(keys))
    assert "its algorithm is none of ES256, ES384, ES512, EdDSA, RS256, RS384, RS512" in why
    assert keys.looks == 0


async def test_an_unknown_key_makes_the_source_look_again() -> None:
    second = TokenIssuer(kid="second", number=1)
    keys = Keys(SITE.key_set, second.key_set)
    assert (await tokens(keys).read(issued())).user == "anna"
    assert keys.looks == 0
    assert (await tokens(keys).read(second.token(user="ben", now=CLOCK.now()))).user == "ben"
    assert keys.looks == 1


async def test_a_token_expires() -> None:
    clock = HandClock()
    of = IssuedTokens(Keys(SITE.key_set), ISSUER, SERVICE, clock)
    token = SITE.token(now=clock.now())
    clock.time += timedelta(seconds=304)
    await of.read(token)
    clock.time += timedelta(seconds=1)
    assert "it has expired" in await refusal(token, of)


@pytest.mark.parametrize("part", [0, 1])
async def test_deep_nesting_is_refused(part: int) -> None:
    parts = issued().split(".")
    parts[part] = _encoded(b"[" * 10_000)
    await refusal(".".join(parts))


async def test_deep_nesting_in_a_signed_token_is_refused() -> None:
    await refusal(jwt.PyJWS().encode(b"[" * 10_000, SITE.key, algorithm="ES256", headers={"kid": "first"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CLAIMS = st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "access"]), JSON, min_size=1)


async def _is_read_or_refused(token: str) -> None:
    try:
        found = await TOKENS.read(token)
    except Unauthorized as error:
        assert error.detail["error"] == "invalid_token"
    else:
        assert ":" not in found.user
        assert all(isinstance(action, str) for actions in found.repositories.values() for action in actions)


@settings(deadline=None)
@given(CLAIMS)
async def test_any_signed_claims_are_read_or_refused(claims: dict[str, Any]) -> None:
    payload = json.dumps({**json.loads(base64.urlsafe_b64decode(_payload(SITE) + "==")), **claims}).encode()
    await _is_read_or_refused(jwt.PyJWS().encode(payload, SITE.key, algorithm="ES256", headers={"kid": "first"}))


HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "x5c", "zip"]), JSON)


@settings(deadline=None)
@given(HEADERS, st.binary(max_size=50), st.binary(max_size=80))
async def test_any_header_is_refused(header: dict[str, Any], payload: bytes, signature: bytes) -> None:
    token = ".".join(map(_encoded, (json.dumps({"alg": "ES256"} | header).encode(), payload, signature)))
    await refusal(token)


@given(st.text() | st.lists(st.sampled_from([*issued().split("."), ".", "=", "e30", "a"])).map("".join))
async def test_any_text_is_read_or_refused(text: str) -> None:
    await _is_read_or_refused(text)
