"""Key sets: their documents, and the steps that make them trusted."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.bundle_errors import BundleFault, BundleInvalid, BundleUntrusted
from mirror.bundle.format.envelope import Envelope
from mirror.bundle.trust.key_set import KEY_SET_TYPE, KeySet, SignedKeySet, require_chain
from mirror.bundle.trust.key_set_files import load_key_set, write_key_set
from mirror.bundle.trust.signing_keys import SigningKey, sign
from mirror.bundle.trust.trust_step import RecordedChain, TrustStep, judge_key_set
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault

A, B = SigningKey.new(), SigningKey.new()
FIRST = KeySet.of_key(A.public)
SECOND = KeySet.of_keys([A.public, B.public], 2, FIRST, {"depot": 7})


def signed(key_set: KeySet, *keys: SigningKey) -> SignedKeySet:
    envelope = key_set.envelope
    for key in keys:
        envelope = sign(envelope, key)
    return SignedKeySet(key_set, envelope)


def changed(**values: Any) -> bytes:
    value = {**json.loads(SECOND.envelope.payload), **values}
    return json.dumps(value, separators=(",", ":")).encode()


async def test_a_key_set_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "keys.json"
    written = await write_key_set(path, SECOND, [A, B])
    assert await load_key_set(path) == written
    assert SECOND.signers(written.envelope) == SECOND.keys
    with pytest.raises(ConfigurationFault, match=r"keys\.json exists"):
        await write_key_set(path, SECOND, [])


async def test_a_public_key_is_a_key_set(tmp_path: Path):
    (tmp_path / "a.pub").write_bytes(A.public.to_pem())
    assert (await load_key_set(tmp_path / "a.pub")).key_set == FIRST


@pytest.mark.parametrize(
    "payload",
    [
        changed(threshold=0),
        changed(threshold=3),
        changed(threshold=True),
        changed(version=0),
        changed(version=1),
        changed(previous=None),
        changed(previous="sha256:1"),
        changed(keys=[]),
        changed(keys=[A.public.raw.hex()] * 2),
        changed(keys=[key.raw.hex() for key in reversed(SECOND.keys)]),
        changed(keys=["00"]),
        changed(keys=["zz" * 32]),
        changed(keys=[1]),
        changed(keys=None),
        changed(resets={"a b": 1}),
        changed(resets={"depot": -1}),
        changed(resets=[]),
        changed(expires="2027"),
        b" " + changed(),
        b"[]",
    ],
)
def test_another_document_is_not_a_key_set(payload: bytes):
    with pytest.raises(BundleInvalid, match="not a key set"):
        KeySet.parse(Envelope(KEY_SET_TYPE, payload), "SET.json")


def test_a_document_of_another_type_is_not_a_key_set():
    with pytest.raises(BundleInvalid):
        KeySet.parse(Envelope("application/vnd.in-toto+json", SECOND.envelope.payload), "SET.json")


@given(st.data())
def test_a_damaged_key_set_is_refused_or_another_document(data: st.DataObject):
    content = bytearray(signed(SECOND, A, B).to_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    try:
        found = SignedKeySet.parse(bytes(content), "SET.json")
    except BundleFault:
        return
    assert found.key_set == SECOND or not SECOND.signers(found.envelope)


@given(
    st.dictionaries(
        st.sampled_from([*json.loads(SECOND.envelope.payload)]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=70),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        ),
    )
)
def test_any_values_give_a_key_set_or_an_error_of_the_tree(values: dict[str, Any]):
    document = {"payload": base64.b64encode(changed(**values)).decode(), "payloadType": KEY_SET_TYPE, "signatures": []}
    try:
        found = SignedKeySet.parse(json.dumps(document).encode(), "SET.json")
    except BundleFault:
        return
    assert found.key_set.envelope == found.envelope


# Steps


def recorded(*key_sets: KeySet) -> RecordedChain:
    return RecordedChain(key_sets[0].digest, key_sets, ())


def test_the_step_to_trust_a_key_set():
    second = signed(SECOND, A, B)
    for of, chains, expected, root in [
        (signed(FIRST), [], TrustStep.FIRST, FIRST.digest),
        (signed(FIRST), [recorded(FIRST)], TrustStep.KNOWN, FIRST.digest),
        (second, [recorded(FIRST)], TrustStep.NEXT, FIRST.digest),
        (second, [recorded(FIRST, SECOND)], TrustStep.KNOWN, FIRST.digest),
        (signed(FIRST), [recorded(FIRST, SECOND)], TrustStep.REPLACED, FIRST.digest),
        (second, [recorded(KeySet.of_key(B.public))], TrustStep.FIRST, SECOND.digest),
    ]:
        step, record = judge_key_set(of, chains)
        assert (step, record.root, record.version) == (expected, root, of.key_set.version)
    assert judge_key_set(second, [recorded(FIRST)])[1].resets == {"depot": 7}


def test_a_key_set_without_enough_signatures_is_never_trusted():
    for chains in ([], [recorded(FIRST)]):
        with pytest.raises(BundleUntrusted, match="has 1 of the 2 signatures by keys of key set 2"):
            judge_key_set(signed(SECOND, A), chains)
    with pytest.raises(BundleUntrusted, match="has 0 of the 1 signatures by keys of key set 1"):
        judge_key_set(signed(KeySet.of_keys([B.public], 1, FIRST), B), [recorded(FIRST)])
    skipped = KeySet(3, 1, FIRST.keys, FIRST.digest)
    with pytest.raises(BundleUntrusted, match="does not follow"):
        judge_key_set(signed(skipped, A), [recorded(FIRST)])


def test_a_single_key_needs_no_signature_as_a_set():
    assert signed(KeySet.of_key(A.public)).missing_signatures(None) == ()
    assert len(signed(SECOND).missing_signatures(FIRST)) == 2


def test_a_second_key_set_after_the_same_one_is_told_as_what_it_is():
    thief = KeySet.of_keys([A.public], 1, FIRST, {"depot": 1})
    with pytest.raises(BundleUntrusted, match=f"two key sets 2 after the same one.*--remove {FIRST.digest.hex}"):
        judge_key_set(signed(thief, A), [recorded(FIRST, SECOND)])


def test_two_sets_of_the_same_keys_in_different_chains_differ():
    assert KeySet.of_keys(SECOND.keys, 2, KeySet.of_key(B.public)).digest != SECOND.digest != Digest.of(b"")


def test_the_key_sets_of_a_bundle_must_follow_one_another():
    third = KeySet.of_keys([B.public], 1, SECOND)
    good = [signed(FIRST), signed(SECOND, A, B), signed(third, A, B)]
    require_chain(good)
    require_chain(good[1:])
    require_chain([])
    for wrong in ([good[0], good[2]], [*good[:2], signed(third, B)], [signed(SECOND, A)]):
        with pytest.raises(BundleUntrusted):
            require_chain(wrong)
