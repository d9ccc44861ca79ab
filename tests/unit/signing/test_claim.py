"""Tests of what signatures say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest, Repository
from mirror.signing.claim import SignatureUnreadable, SignedClaim, simple_signing_payload
from tests.support.signing import SIGNED_AT, payload, statement

DIGEST = Digest.of(b"content")
OTHER = Digest.of(b"other content")
NAME = "mirror:5000/contiv/v2plugin"

#: As cosign 2.5 writes it.
COSIGN = (
    b'{"critical":{"identity":{"docker-reference":"127.0.0.1:56395/bench/plugin"},"image":{"docker-manifest-digest":"'
    + str(DIGEST).encode()
    + b'"},"type":"cosign container image signature"},"optional":null}'
)


def changed(at: tuple[str, ...], value: object) -> bytes:
    """Return a payload of simple signing in which a member has another value. None removes the member."""
    body = json.loads(payload(DIGEST, NAME))
    place: Any = body
    for name in at[:-1]:
        place = place[name]
    if value is None:
        place.pop(at[-1], None)
    else:
        place[at[-1]] = value
    return json.dumps(body).encode()


class TestSimpleSigning:
    def test_of_cosign(self) -> None:
        claim = SignedClaim.of_simple_signing(COSIGN)
        assert claim == SignedClaim(frozenset({DIGEST}), "127.0.0.1:56395/bench/plugin")
        assert claim.repository == Repository("bench/plugin")

    def test_of_ours(self) -> None:
        expires_at = datetime(2027, 1, 1, tzinfo=UTC)
        claim = SignedClaim.of_simple_signing(payload(DIGEST, NAME, expires_at))
        assert claim == SignedClaim(frozenset({DIGEST}), NAME, expires_at)

    def test_ours_is_the_same_each_time(self) -> None:
        assert (
            simple_signing_payload(NAME, DIGEST, "us", SIGNED_AT, None)
            == (
                f'{{"critical":{{"identity":{{"docker-reference":"{NAME}"}},"image":{{"docker-manifest-digest":"{DIGEST}"}},'
                f'"type":"cosign container image signature"}},"optional":{{"creator":"us","timestamp":1793491200}}}}'
            ).encode()
        )

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"{}",
            b"\xff",
            b"[" * 10_000,
            changed(("critical",), None),
            changed(("critical", "type"), "atomic container signature"),
            changed(("critical", "type"), None),
            changed(("critical", "image", "docker-manifest-digest"), "sha256:1234"),
            changed(("critical", "image", "docker-manifest-digest"), 7),
            changed(("critical", "identity"), []),
            changed(("optional", "expires"), "tomorrow"),
            changed(("optional", "expires"), "2027-01-01T00:00:00"),
            changed(("optional", "expires"), 7),
            changed(("optional", "expires"), {}),
            payload(DIGEST, NAME)[:-1] + b',"critical":{}}',
            payload(DIGEST, NAME)[:-1] + b',"Critical":{}}',
        ],
    )
    def test_what_is_unreadable(self, content: bytes) -> None:
        with pytest.raises(SignatureUnreadable):
            SignedClaim.of_simple_signing(content)

    @pytest.mark.parametrize("name", ["", "UPPER", "a b", "…", "http://x/y"])
    def test_a_name_may_be_none_of_a_repository(self, name: str) -> None:
        assert SignedClaim.of_simple_signing(payload(DIGEST, name)).repository is None


class TestStatement:
    def test_of_cosign(self) -> None:
        told = statement(DIGEST, NAME, _type="https://in-toto.io/Statement/v0.1")
        assert SignedClaim.of_statement(json.dumps(told).encode()) == SignedClaim(frozenset({DIGEST}), NAME)

    def test_expiry(self) -> None:
        told = statement(DIGEST, predicate={"expires": "2027-01-01T01:00:00+01:00"})
        assert SignedClaim.of_statement(json.dumps(told).encode()).expires_at == datetime(2027, 1, 1, tzinfo=UTC)

    def test_several_subjects_have_no_name(self) -> None:
        subjects = [
            {"name": "a", "digest": {"sha256": DIGEST.hex, "gitCommit": "abc"}},
            {"name": "b", "digest": {"sha256": OTHER.hex}},
        ]
        claim = SignedClaim.of_statement(json.dumps(statement(DIGEST, subject=subjects)).encode())
        assert claim == SignedClaim(frozenset({DIGEST, OTHER}), "")

    @pytest.mark.parametrize(
        "changes",
        [
            {"_type": "https://in-toto.io/Statement/v9"},
            {"subject": []},
            {"subject": [7]},
            {"subject": [{"name": "a"}]},
            {"subject": [{"digest": {"gitCommit": "abc"}}]},
            {"subject": [{"digest": {"sha256": 7}}]},
            {"subject": [{"digest": {"sha256": DIGEST.hex}}] * 65},
            {"predicate": {"expires": None}},
        ],
    )
    def test_what_is_unreadable(self, changes: dict[str, Any]) -> None:
        with pytest.raises(SignatureUnreadable):
            SignedClaim.of_statement(json.dumps(statement(DIGEST, **changes)).encode())

    @pytest.mark.parametrize(
        "predicate", ["https://slsa.dev/provenance/v1", "https://cosign.sigstore.dev/attestation/v1", ""]
    )
    def test_other_statements_are_no_signatures(self, predicate: str) -> None:
        with pytest.raises(SignatureUnreadable, match="another type than a signature"):
            SignedClaim.of_statement(json.dumps(statement(DIGEST, predicateType=predicate)).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PLACES = st.sampled_from(
    [
        ("critical",),
        ("critical", "type"),
        ("critical", "identity"),
        ("critical", "identity", "docker-reference"),
        ("critical", "image", "docker-manifest-digest"),
        ("optional",),
        ("optional", "expires"),
    ]
)


@given(PLACES, JSON)
def test_any_payload_is_a_claim_about_the_digest_or_unreadable(at: tuple[str, ...], value: object) -> None:
    try:
        claim = SignedClaim.of_simple_signing(changed(at, value))
    except SignatureUnreadable:
        return
    assert claim.digests == {DIGEST}


@given(st.sampled_from(["_type", "predicateType", "subject", "predicate"]), JSON)
def test_any_statement_is_a_claim_about_the_digest_or_unreadable(member: str, value: object) -> None:
    try:
        claim = SignedClaim.of_statement(json.dumps(statement(DIGEST, **{member: value})).encode())
    except SignatureUnreadable:
        return
    assert claim.digests == {DIGEST}
