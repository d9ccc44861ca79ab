"""Tests of verification, and of the condition that enough keys have signed."""

from __future__ import annotations

from datetime import UTC, datetime

from mirror.oci import Digest, Repository
from mirror.oci.name_pattern import NamePattern
from mirror.signing.private_keys import PrivateKey
from mirror.signing.signature_formats import of_simple_signing
from mirror.signing.signature_verification import CheckedSignature, check_signature, unread
from mirror.signing.signed_by import SignedBy
from tests.support.signing import KEY, OTHER_KEY, THIRD_KEY, payload, simple_layer

DIGEST = Digest.of(b"content")
HERE, ABROAD = Repository("store/contiv/v2plugin"), Repository("contiv/v2plugin")
NAMES = (HERE, ABROAD)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
KEYS = (KEY.public, OTHER_KEY.public)


def checked(content: bytes, key: PrivateKey = KEY, annotations_of: bytes | None = None) -> CheckedSignature:
    """Return the result for a signature of a payload, or of other bytes beside the payload."""
    annotations = simple_layer(annotations_of or content, key).annotations
    return check_signature(of_simple_signing(content, annotations), "it", KEYS, DIGEST, NOW)


def problem(found: CheckedSignature) -> str | None:
    return found.problem_under(NAMES)


class TestVerification:
    def test_a_good_signature_counts(self) -> None:
        found = checked(payload(DIGEST, "mirror:5000/store/contiv/v2plugin:1.0"))
        assert problem(found) is None
        assert found.key == KEY.public

    def test_the_name_at_a_source_counts(self) -> None:
        assert problem(checked(payload(DIGEST, "index.docker.io/contiv/v2plugin"))) is None

    def test_a_signature_without_a_name_counts(self) -> None:
        assert problem(checked(payload(DIGEST))) is None

    def test_another_repository(self) -> None:
        assert problem(checked(payload(DIGEST, "evil/v2plugin"))) == "is for another repository: evil/v2plugin"

    def test_a_name_that_is_none(self) -> None:
        assert problem(checked(payload(DIGEST, "no name\n"))) == "is for another repository: no name?"

    def test_other_content(self) -> None:
        other = Digest.of(b"other")
        assert problem(checked(payload(other, "contiv/v2plugin"))) == f"is for other content: {other}"

    def test_a_swapped_payload(self) -> None:
        swapped = checked(payload(DIGEST), annotations_of=payload(Digest.of(b"other")))
        assert problem(swapped) == "was made by none of the known keys, or for another payload"
        assert swapped.key is None

    def test_an_unknown_key(self) -> None:
        assert problem(checked(payload(DIGEST), THIRD_KEY)) == (
            "was made by none of the known keys, or for another payload"
        )

    def test_an_expired_signature(self) -> None:
        assert problem(checked(payload(DIGEST, expires_at=NOW))) == "has expired on 2026-12-01T00:00:00Z"
        assert problem(checked(payload(DIGEST, expires_at=datetime(2026, 12, 2, tzinfo=UTC)))) is None

    def test_a_signed_payload_that_is_none(self) -> None:
        assert problem(checked(b"{}")) == "cannot be read: its payload is not one of cosign"

    def test_what_is_not_read(self) -> None:
        assert problem(unread("it", "so \x1b big")) == "cannot be read: so ? big"

    def test_as_plain_values(self) -> None:
        expires_at = datetime(2027, 1, 1, tzinfo=UTC)
        assert checked(payload(DIGEST, "evil/x", expires_at)).to_json(NAMES) == {
            "what": "it",
            "key": "contiv.pub",
            "fingerprint": KEY.public.fingerprint,
            "name": "evil/x",
            "expires_at": "2027-01-01T00:00:00Z",
            "counts": False,
            "problem": "is for another repository: evil/x",
        }
        assert unread("it", "").to_json(NAMES)["key"] is None


class TestSignedBy:
    ONE = SignedBy((KEY.public,))
    BOTH = SignedBy(KEYS, threshold=2)

    def test_one_of_one(self) -> None:
        assert self.ONE.met([checked(payload(DIGEST))], NAMES) == f"is signed by {KEY.public}"

    def test_nothing(self) -> None:
        assert self.ONE.met([], NAMES) is None
        assert self.ONE.unmet([], NAMES) == f"is not signed by {KEY.public}: there is no signature"

    def test_each_reason_is_told(self) -> None:
        checks = [checked(payload(Digest.of(b"a"))), unread("b", "c")]
        assert self.ONE.met(checks, NAMES) is None
        assert self.ONE.unmet(checks, NAMES) == (
            f"is not signed by {KEY.public}: it is for other content: {Digest.of(b'a')}; b cannot be read: c"
        )

    def test_few_reasons_are_told(self) -> None:
        assert self.ONE.unmet([unread("b", "c")] * 9, NAMES).endswith("; and 6 more")

    def test_a_key_of_another_rule(self) -> None:
        checks = [checked(payload(DIGEST), OTHER_KEY)]
        assert self.ONE.met(checks, NAMES) is None
        assert "was made by a key that this rule does not name" in self.ONE.unmet(checks, NAMES)

    def test_the_threshold_counts_keys(self) -> None:
        twice = [checked(payload(DIGEST)), checked(payload(DIGEST))]
        assert self.BOTH.met(twice, NAMES) is None
        assert self.BOTH.unmet(twice, NAMES) == f"is not signed by 2 of 2 keys; by {KEY.public} only"
        assert self.BOTH.met([*twice, checked(payload(DIGEST), OTHER_KEY)], NAMES) == (
            f"is signed by {KEY.public}, {OTHER_KEY.public}"
        )

    def test_keys_that_cannot_be_read_do_not_count(self) -> None:
        assert SignedBy((), 1).met([checked(payload(DIGEST))], NAMES) is None
        assert SignedBy((), 1).unmet([], NAMES) == "is not signed: no key of the rule can be read"
        assert SignedBy((KEY.public,), 2).met([checked(payload(DIGEST))], NAMES) is None

    def test_further_names(self) -> None:
        wide = SignedBy((KEY.public,), names=(NamePattern("evil/*"),))
        assert wide.met([checked(payload(DIGEST, "evil/x"))], NAMES)
        assert wide.met([checked(payload(DIGEST, "bad/x"))], NAMES) is None
        assert wide.met([checked(payload(Digest.of(b"a"), "evil/x"))], NAMES) is None

    def test_different_conditions_have_different_values(self) -> None:
        conditions = [
            self.ONE,
            self.BOTH,
            SignedBy(KEYS),
            SignedBy((OTHER_KEY.public,)),
            SignedBy((KEY.public,), names=(NamePattern("a/*"),)),
        ]
        assert len({str(each.to_json()) for each in conditions}) == len(conditions)
