"""Signatures: the vectors of RFC 8032, and the same answers as the library that signs."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.installer.ed25519_check import is_signed_by, public_key_in
from mirror.bundle.installer.installer_fault import InstallerFault
from tests.support.bundles import KEY, OTHER_KEY, public_pem

RAW = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
ORDER = 2**252 + 27742317777372353535851937790883648493
#: RFC 8032, section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public_key", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc(public_key: str, message: str, signature: str) -> None:
    key, text, value = (bytes.fromhex(each) for each in (public_key, message, signature))
    assert is_signed_by(key, text, value)
    assert not is_signed_by(key, text + b"x", value)
    assert not is_signed_by(key, text, value[:-1] + b"\x0f")


@given(st.binary(max_size=300), st.integers(0, 511))
def test_one_changed_bit_is_noticed(message: bytes, bit: int) -> None:
    signature = KEY.sign(message)
    assert is_signed_by(RAW, message, signature)
    changed = int.from_bytes(signature, "little") ^ 1 << bit
    assert not is_signed_by(RAW, message, changed.to_bytes(64, "little"))


def test_a_second_form_of_a_signature_is_refused() -> None:
    signature = KEY.sign(b"x")
    factor = int.from_bytes(signature[32:], "little") + ORDER
    assert not is_signed_by(RAW, b"x", signature[:32] + factor.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "key", [b"", RAW[:31], b"\xff" * 32, (2).to_bytes(32, "little"), b"\x01" + bytes(30) + b"\x80"]
)
def test_a_key_that_is_none_verifies_nothing(key: bytes) -> None:
    assert not is_signed_by(key, b"x", KEY.sign(b"x"))


def test_the_file_of_a_public_key_is_read() -> None:
    assert public_key_in(public_pem(KEY).decode(), "k.pub") == RAW
    assert public_key_in(public_pem(OTHER_KEY).decode(), "k.pub") != RAW


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.from_private_bytes(b"1" * 32), x25519.X25519PrivateKey.generate().public_key()]
)
def test_other_files_are_refused(key: ed25519.Ed25519PrivateKey | x25519.X25519PublicKey) -> None:
    if isinstance(key, x25519.X25519PublicKey):
        text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    else:
        text = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    with pytest.raises(InstallerFault, match="not a public key"):
        public_key_in(text, "k.pub")
