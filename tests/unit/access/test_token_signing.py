"""Signed tokens: their claims, and the tokens that are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.access import token_signing
from mirror.access.token_signing import LIFETIME_SECONDS, SERVICE, Grant
from mirror.oci import Repository
from mirror.oci.errors import Unauthorized
from mirror.runtime.clock import SystemClock
from tests.support.clocks import HandClock

CLOCK = SystemClock()
KEY, OTHER = b"k" * 32, b"o" * 32
GRANT = Grant("anna", "password:0", {"a": frozenset({"pull", "push"})}, catalog=True)
ACTIONS = st.frozensets(st.sampled_from(["pull", "push", "delete"]), min_size=1)


def now() -> datetime:
    return datetime.now(UTC)


@given(st.builds(Grant, st.text(), st.text(), st.dictionaries(st.text(min_size=1), ACTIONS), st.booleans()))
def test_a_token_says_what_was_signed(grant: Grant) -> None:
    assert token_signing.read(KEY, token_signing.sign(KEY, grant, CLOCK), CLOCK) == grant


def test_a_token_of_one_repository_is_nothing_for_another() -> None:
    assert GRANT.actions(Repository("a")) == {"pull", "push"}
    assert GRANT.actions(Repository("b")) == frozenset()


def test_a_token_is_as_the_specification_has_it() -> None:
    claims = jwt.decode(token_signing.sign(KEY, GRANT, CLOCK), KEY, algorithms=["HS256"], audience=SERVICE)
    assert claims["access"] == [
        {"type": "repository", "name": "a", "actions": ["pull", "push"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]
    assert claims["exp"] - claims["iat"] == LIFETIME_SECONDS == 300


def forged(key: bytes | None = KEY, algorithm: str = "HS256", without: str = "", **changes: Any) -> str:
    """Return a token with other claims. Without the claim of the boot, the time of day decides."""
    claims = jwt.decode(token_signing.sign(KEY, GRANT, CLOCK), KEY, algorithms=["HS256"], audience=SERVICE) | changes
    return jwt.encode({name: value for name, value in claims.items() if name != without}, key, algorithm=algorithm)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (lambda: forged(exp=int(now().timestamp()) - 60, boot=""), "expired"),
        (
            lambda: forged(iat=int(now().timestamp()) + 3600, exp=int(now().timestamp()) + 7200, boot=""),
            "not yet valid",
        ),
        (lambda: forged(aud="registry.example"), "Audience"),
        (lambda: forged(OTHER), "Signature"),
        (lambda: forged(None, "none"), "alg"),
        (lambda: forged(b"k" * 64, "HS512"), "alg"),
        (lambda: forged()[:-3], "this server did not issue the token"),
        (lambda: forged(without="exp"), "exp"),
        (lambda: forged(without="aud"), "aud"),
        (lambda: forged(without="iat"), "iat"),
        (lambda: forged(without="proof"), "proof"),
        (lambda: forged(without="access"), "access"),
        (lambda: "", "this server did not issue the token"),
        (lambda: "not.a.token", "this server did not issue the token"),
        (lambda: "a" * 1_000_000, "longer"),
        (lambda: "\udcff", "ASCII"),
    ],
)
def test_what_is_no_token_of_ours(token: Any, said: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        token_signing.read(KEY, token(), CLOCK)
    assert refused.value.detail["error"] == "invalid_token"
    assert said in f"{refused.value}: {refused.value.__cause__}"


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        token_signing.read(KEY, text, CLOCK)


@pytest.mark.parametrize("boot", [{}, {"boot": "another"}])
def test_a_token_lives_for_its_time(boot: dict[str, str]) -> None:
    clock = HandClock()
    claims = jwt.decode(token_signing.sign(KEY, GRANT, clock), options={"verify_signature": False})
    token = jwt.encode(claims | boot, KEY)
    clock.advance(seconds=LIFETIME_SECONDS)
    assert token_signing.read(KEY, token, clock) == GRANT
    clock.advance(seconds=5)
    with pytest.raises(Unauthorized, match="expired"):
        token_signing.read(KEY, token, clock)


@given(st.integers(-(10**9), 10**9))
def test_a_token_lives_for_its_time_whatever_is_done_to_the_clock(seconds: int) -> None:
    clock = HandClock()
    token = token_signing.sign(KEY, GRANT, clock)
    clock.set(seconds=seconds)
    clock.advance(seconds=LIFETIME_SECONDS - 1)
    assert token_signing.read(KEY, token, clock) == GRANT
    clock.advance(seconds=6)
    with pytest.raises(Unauthorized, match="expired"):
        token_signing.read(KEY, token, clock)


def test_a_token_does_not_tell_how_long_the_machine_has_run() -> None:
    def steady(key: bytes) -> int:
        token = token_signing.sign(key, GRANT, HandClock())
        return int(jwt.decode(token, options={"verify_signature": False})["steady"])

    assert steady(KEY) != steady(OTHER)
