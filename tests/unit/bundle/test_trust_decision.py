"""Each threat to the trust in a bundle, as a decision about signatures and serials."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mirror.bundle.bundle_errors import BundleInvalid, BundleUntrusted
from mirror.bundle.format.envelope import Envelope, Signature
from mirror.bundle.format.member import INDEX, OCI_LAYOUT, OCI_LAYOUT_CONTENT, Member
from mirror.bundle.format.statement import PAYLOAD_TYPE, Statement
from mirror.bundle.trust.key_set import KeySet, SignedKeySet
from mirror.bundle.trust.signing_keys import SigningKey, VerifyingKey, sign
from mirror.bundle.trust.trust_decision import (
    SerialVerdict,
    Trust,
    TrustedKeys,
    judge_serial,
    judge_signatures,
)
from mirror.oci import Digest
from mirror.records.bundle_trust import StreamState, TrustedKeySet

A, B, C, STRANGER = (SigningKey.new() for _ in range(4))
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
ROOT = TrustedKeys.of_key(A.public).root


def statement(serial: int = 1, previous: Digest | None = None, text: bytes = b"{}") -> Statement:
    members = (Member.of_content(OCI_LAYOUT, OCI_LAYOUT_CONTENT), Member.of_content(INDEX, text))
    return Statement("depot", serial, NOON, members, previous)


def envelope(*keys: SigningKey, of: Statement | None = None) -> Envelope:
    signed = Envelope(PAYLOAD_TYPE, (of or statement()).to_bytes())
    for key in keys:
        signed = sign(signed, key)
    return signed


def key_set(keys: list[SigningKey], threshold: int, *signers: SigningKey, after: KeySet | None = None, **resets: int):
    made = KeySet.of_keys([key.public for key in keys], threshold, after, resets)
    document = made.envelope
    for signer in signers:
        document = sign(document, signer)
    return SignedKeySet(made, document)


def chain(made: SignedKeySet | KeySet, *, recorded: bool = True) -> TrustedKeys:
    first = made if isinstance(made, KeySet) else made.key_set
    return TrustedKeys(first.digest, first, recorded)


def judge(
    signed: Envelope, *trusted: TrustedKeys, carried: tuple[SignedKeySet, ...] = (), unsigned: bool = False
) -> Trust:
    return judge_signatures(signed, [each.to_bytes() for each in carried], trusted, unsigned=unsigned)


# Signatures


def test_a_bundle_signed_by_a_trusted_key_is_trusted():
    trust = judge(envelope(STRANGER, A), TrustedKeys.of_key(A.public))
    assert (trust.root, trust.signers, trust.warnings) == (ROOT, (A.public.key_id,), ())


@pytest.mark.parametrize(
    ("signers", "message"),
    [([], "not signed"), ([STRANGER], f"no trusted key.*{STRANGER.public.key_id}.*--key F.pub")],
    ids=["stripped statement", "wrong key"],
)
def test_a_bundle_without_a_trusted_signature_is_refused(signers: list[SigningKey], message: str):
    with pytest.raises(BundleUntrusted, match=message):
        judge(envelope(*signers), TrustedKeys.of_key(A.public))


def test_without_a_trusted_key_nothing_is_trusted():
    with pytest.raises(BundleUntrusted, match="no key is trusted here"):
        judge(envelope(A))


def test_a_changed_statement_is_refused():
    changed = envelope(of=statement(text=b"[]")).with_signature(envelope(A).signatures[0])
    with pytest.raises(BundleUntrusted):
        judge(changed, TrustedKeys.of_key(A.public))


def test_a_signature_of_another_kind_of_document_does_not_count():
    other = sign(Envelope("text/plain", statement().to_bytes()), A)
    with pytest.raises(BundleUntrusted):
        judge(envelope().with_signature(other.signatures[0]), TrustedKeys.of_key(A.public))


def test_the_key_id_decides_nothing():
    forged = Signature(A.public.key_id, envelope(STRANGER).signatures[0].value)
    with pytest.raises(BundleUntrusted):
        judge(envelope().with_signature(forged), TrustedKeys.of_key(A.public))
    unnamed = Signature("", envelope(A).signatures[0].value)
    assert judge(envelope().with_signature(unnamed), TrustedKeys.of_key(A.public)).root == ROOT


def test_few_signatures_without_a_key_id_are_tried(monkeypatch: pytest.MonkeyPatch):
    signed = envelope(A)
    without_id = Envelope(PAYLOAD_TYPE, signed.payload, (Signature("", signed.signatures[0].value),))
    assert judge(without_id, TrustedKeys.of_key(A.public)).root == ROOT
    # Each look at a signature reads the whole statement, and a stranger may have written 64 of them.
    tried: list[bytes] = []
    monkeypatch.setattr(VerifyingKey, "verifies", lambda _key, signature, _signed: bool(tried.append(signature)))
    many = Envelope(PAYLOAD_TYPE, signed.payload, (Signature("", bytes(64)),) * 64)
    with pytest.raises(BundleUntrusted, match=r"\(it has signatures of keys without a name\)"):
        judge(many, chain(key_set([A, B, C], 1)))
    assert 0 < len(tried) <= 3 * 4  # each of the keys, with few of them


def test_one_of_two_signatures_is_too_few():
    both = chain(key_set([A, B], 2))
    with pytest.raises(BundleUntrusted, match="1 of the 2 keys"):
        judge(envelope(A), both)
    twice = envelope(A).signatures[0]
    with pytest.raises(BundleUntrusted, match="1 of the 2 keys"):
        judge(Envelope(PAYLOAD_TYPE, statement().to_bytes(), (twice, twice)), both)
    assert judge(envelope(A, B), both).root == both.root


def test_an_unsigned_bundle_is_used_by_name_only():
    assert judge(envelope(), unsigned=True) == Trust()
    trust = judge(envelope(STRANGER), TrustedKeys.of_key(A.public), unsigned=True)
    assert trust.root is None
    assert "not checked" in trust.warnings[0]
    assert judge(envelope(A), TrustedKeys.of_key(A.public), unsigned=True).root == ROOT


# Key sets


def test_a_rotated_key_is_followed_and_the_former_one_refused():
    first = KeySet.of_key(A.public)
    second = key_set([B], 1, A, B, after=first)
    third = key_set([B, C], 2, B, C, after=second.key_set)
    trust = judge(envelope(B, C), chain(first), carried=(second, third))
    assert (trust.root, trust.signers) == (ROOT, tuple(sorted([B.public.key_id, C.public.key_id])))
    assert trust.key_sets == (
        TrustedKeySet(ROOT, 2, second.to_bytes()),
        TrustedKeySet(ROOT, 3, third.to_bytes()),
    )
    with pytest.raises(BundleUntrusted):
        judge(envelope(A), chain(first), carried=(second,))


def test_keys_of_one_command_are_followed_but_not_recorded():
    first = KeySet.of_key(A.public)
    trust = judge(envelope(B), TrustedKeys.of_key(A.public), carried=(key_set([B], 1, A, B, after=first),))
    assert (trust.root, trust.key_sets) == (ROOT, ())


def test_a_stale_key_set_does_not_bring_a_former_key_back():
    first = KeySet.of_key(A.public)
    second = key_set([B], 1, A, B, after=first)
    newest = TrustedKeys(ROOT, second.key_set, recorded=True)
    # The former key, named for this command, is of the same chain. The newer key set counts.
    with pytest.raises(BundleUntrusted):
        judge(envelope(A), newest, TrustedKeys.of_key(A.public))
    with pytest.raises(BundleUntrusted):
        judge(envelope(A), newest, carried=(key_set([A], 1, A, after=first),))


@pytest.mark.parametrize(
    "signers", [[A], [A, C], [B, C], [C]], ids=["old only", "one of the new", "new only", "neither"]
)
def test_a_key_set_needs_thresholds_of_the_old_and_of_the_new_one(signers: list[SigningKey]):
    first = KeySet.of_key(A.public)
    second = key_set([B, C], 2, *signers, after=first)
    with pytest.raises(BundleUntrusted, match=r"key set 2 has \d of the"):
        judge(envelope(B, C), chain(first), carried=(second,))
    # The bundle can still be used if the keys trusted until now have signed it.
    trust = judge(envelope(A), chain(first), carried=(second,))
    assert (trust.root, trust.key_sets) == (ROOT, ())
    assert "key set 2 has" in trust.warnings[0]


def test_a_key_set_of_another_chain_is_passed_over():
    other = KeySet.of_key(STRANGER.public)
    second = key_set([C], 1, A, C, STRANGER, after=other)
    trust = judge(envelope(A), chain(KeySet.of_key(A.public)), carried=(second,))
    assert (trust.root, trust.key_sets, trust.warnings) == (ROOT, (), ())


def test_a_document_that_is_not_a_key_set_is_refused():
    with pytest.raises(BundleInvalid, match="key set 1 of the bundle"):
        judge_signatures(envelope(A), [b"{}"], [TrustedKeys.of_key(A.public)], unsigned=False)


@pytest.mark.parametrize("carried", [[b"{}"] * 257, [bytes(256 * 1024 + 1)]], ids=["very many", "very large"])
def test_key_sets_are_bounded_before_they_are_parsed(carried: list[bytes]):
    with pytest.raises(BundleInvalid, match=r"more than 256 key sets|larger than 262144 bytes"):
        judge_signatures(envelope(A), carried, [TrustedKeys.of_key(A.public)], unsigned=False)


# Serials

KNOWN = StreamState("depot", 5, Digest.of(statement(5).to_bytes()), NOON, NOON, ROOT)


def verdict(
    of: Statement, known: StreamState | None = KNOWN, root: Digest | None = ROOT, allow_rollback: int | None = None
) -> SerialVerdict:
    return judge_serial(of, Digest.of(of.to_bytes()), known, root=root, allow_rollback=allow_rollback)


@pytest.mark.parametrize(
    ("of", "known", "expected"),
    [
        (statement(3), None, SerialVerdict.NEW),
        (statement(6), KNOWN, SerialVerdict.NEW),
        (statement(6, KNOWN.statement), KNOWN, SerialVerdict.NEW),
        (statement(9, KNOWN.statement), KNOWN, SerialVerdict.NEW),
        (statement(5), KNOWN, SerialVerdict.SAME),
        (statement(7), KNOWN, SerialVerdict.GAP),
        (statement(7, Digest.of(b"6")), KNOWN, SerialVerdict.GAP),
    ],
)
def test_a_later_bundle_of_the_stream_is_accepted(of: Statement, known: StreamState | None, expected: SerialVerdict):
    assert verdict(of, known) is expected


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (statement(4), "older than bundle 5"),
        (statement(5, text=b"[]"), "forked"),
        (statement(6, Digest.of(b"another 5")), "forked"),
    ],
    ids=["old serial", "same serial", "follows another bundle"],
)
def test_rollback_and_fork_are_refused_unless_the_operator_names_the_serial(of: Statement, message: str):
    with pytest.raises(BundleUntrusted, match=f"{message}.*--allow-rollback {of.serial}"):
        verdict(of)
    with pytest.raises(BundleUntrusted):
        verdict(of, allow_rollback=of.serial + 1)
    assert verdict(of, allow_rollback=of.serial) is SerialVerdict.NEW


@pytest.mark.parametrize("root", [None, Digest.of(b"another chain")], ids=["unsigned", "another chain"])
def test_a_signed_stream_stays_with_its_keys(root: Digest | None):
    with pytest.raises(BundleUntrusted, match="stream depot were signed by the chain"):
        verdict(statement(6), root=root)
    if root is None:
        with pytest.raises(BundleUntrusted, match="by no trusted key; fix: have it signed"):
            verdict(statement(6), root=None, allow_rollback=6)
    else:
        assert verdict(statement(6), root=root, allow_rollback=6) is SerialVerdict.NEW


def test_what_nobody_signed_does_not_bind_a_signed_bundle():
    unsigned = StreamState("depot", 2**53 - 1, Digest.of(b""), NOON, NOON)
    assert verdict(statement(6), unsigned) is SerialVerdict.NEW
    with pytest.raises(BundleUntrusted, match="older"):
        verdict(statement(6), unsigned, root=None)


def test_a_stream_goes_on_under_its_own_chain():
    other = TrustedKeys.of_key(B.public)
    trust = judge(envelope(A, B), other, TrustedKeys.of_key(A.public))
    assert (trust.root, trust.root_for(KNOWN), trust.root_for(None)) == (other.root, ROOT, other.root)


def test_a_reset_undoes_a_fast_forward():
    first = KeySet.of_key(A.public)
    far = StreamState("depot", 2**53 - 1, Digest.of(b""), NOON, NOON, ROOT)
    with pytest.raises(BundleUntrusted, match="older"):
        verdict(statement(6), far)
    trust = judge(envelope(B), chain(first), carried=(key_set([B], 1, A, B, after=first, depot=5),))
    assert trust.key_sets[0].resets == {"depot": 5}
    after = trust.after_resets(far)
    assert verdict(statement(6, Digest.of(b"5")), after) is SerialVerdict.NEW
    with pytest.raises(BundleUntrusted):
        verdict(statement(5), after)
    # It is one of the streams of its own chain, and never raises a serial.
    foreign = replace(far, root=Digest.of(b"another chain"))
    assert trust.after_resets(foreign) == foreign
    assert trust.after_resets(StreamState("depot", 3, None, NOON, NOON, ROOT)) == StreamState(
        "depot", 3, None, NOON, NOON, ROOT
    )
