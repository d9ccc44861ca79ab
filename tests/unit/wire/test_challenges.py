"""``WWW-Authenticate``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.wire.auth import challenges
from mirror.wire.auth.challenges import Challenge

WORDS = st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True)
CHALLENGES = st.builds(Challenge, WORDS, st.dictionaries(WORDS, st.text(), max_size=8))


@given(CHALLENGES)
def test_a_challenge_is_read_as_it_was_built(challenge: Challenge) -> None:
    assert challenges.parse(challenge.build()) == [challenge]


@given(st.lists(CHALLENGES.filter(lambda challenge: challenge.parameters), max_size=3))
def test_challenges_share_a_header(listed: list[Challenge]) -> None:
    assert challenges.parse(", ".join(challenge.build() for challenge in listed)) == listed


@given(st.text() | st.text(alphabet='Bearer realm="\\,= '))
def test_any_text_is_some_challenges(text: str) -> None:
    for challenge in challenges.parse(text):
        assert challenge.scheme == challenge.scheme.lower() != ""


def test_no_more_is_read_than_anybody_sends() -> None:
    assert len(challenges.parse("x," * 4000)) == challenges.MOST_CHALLENGES
    (challenge,) = challenges.parse("Bearer " + ",".join(f"a{number}=b" for number in range(1000)))
    assert len(challenge.parameters) == challenges.MOST_PARAMETERS


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("Basic", [Challenge("basic")]),
        ('Basic realm="a registry"', [Challenge("basic", {"realm": "a registry"})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ("bearer REALM=x, Service = y", [Challenge("bearer", {"realm": "x", "service": "y"})]),
        (
            'Basic realm="x", Bearer realm="y"',
            [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y"})],
        ),
        ("Negotiate, Basic realm=x", [Challenge("negotiate"), Challenge("basic", {"realm": "x"})]),
        (",, Basic , realm=x ,", [Challenge("basic", {"realm": "x"})]),
        (" " * 100_000 + "=", []),
        (r'Basic realm="a \"quoted\" \\ one"', [Challenge("basic", {"realm": r'a "quoted" \ one'})]),
        ('Bearer realm="first",realm="second"', [Challenge("bearer", {"realm": "first"})]),
    ],
)
def test_challenges(header: str, expected: list[Challenge]) -> None:
    assert challenges.parse(header) == expected
