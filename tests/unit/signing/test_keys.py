"""Tests of keys that sign and verify manifests."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault
from mirror.signing.private_keys import PrivateKey
from mirror.signing.public_keys import PublicKey

MESSAGE = b"what is signed"
RSA = rsa.generate_private_key(65537, 2048)


def public_pem(key: object) -> bytes:
    """Return the public key of a private key of the library as PEM."""
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return pem


def private_pem(key: object, password: bytes | None = None) -> bytes:
    """Return a private key of the library as PEM."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined]
    return pem


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_ecdsa_of_any_size_is_with_sha256(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    public = PublicKey.parse_pem(public_pem(key), "k.pub")
    signature = key.sign(MESSAGE, ec.ECDSA(SHA256()))
    assert public.verifies(signature, MESSAGE)
    assert not public.verifies(signature, MESSAGE + b".")


def test_rsa_is_with_pkcs1_and_sha256() -> None:
    public = PublicKey.parse_pem(public_pem(RSA), "k.pub")
    signature = RSA.sign(MESSAGE, padding.PKCS1v15(), SHA256())
    assert public.verifies(signature, MESSAGE)
    assert not public.verifies(signature[:-1], MESSAGE)


def test_ed25519() -> None:
    key = Ed25519PrivateKey.generate()
    public = PublicKey.parse_pem(public_pem(key), "k.pub")
    assert public.verifies(key.sign(MESSAGE), MESSAGE)
    assert not public.verifies(b"", MESSAGE)


@given(st.binary(max_size=200))
def test_no_other_bytes_are_a_signature(signature: bytes) -> None:
    for key in (PrivateKey.new("a"), PrivateKey.parse_pem(private_pem(Ed25519PrivateKey.generate()), "b")):
        assert not key.public.verifies(signature, MESSAGE)


def test_the_fingerprint_is_that_of_the_encoded_key() -> None:
    key = PrivateKey.new("site")
    shown = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.public.to_pem(), stdout=subprocess.PIPE, check=True
    )
    assert key.public.fingerprint == hashlib.sha256(shown.stdout).hexdigest()
    assert str(key.public) == f"site ({key.public.fingerprint[:16]})"


def test_keys_are_compared_without_their_names() -> None:
    pem = PrivateKey.new("site").public.to_pem()
    assert PublicKey.parse_pem(pem, "a") == PublicKey.parse_pem(pem, "b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a public key in PEM; fix: name one, such as cosign.pub"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not a public key in PEM"),
        (private_pem(RSA), "is a private key, which only its owner should have"),
        (public_pem(rsa.generate_private_key(65537, 1024)), "is a key of another kind"),
        (public_pem(ec.generate_private_key(ec.SECP256K1())), "is a key of another kind"),
        (public_pem(ed448.Ed448PrivateKey.generate()), "is a key of another kind"),
        (public_pem(dsa.generate_private_key(2048)), "is a key of another kind"),
    ],
)
def test_what_is_no_public_key_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigurationFault, match=f"^keys/a.pub {message}"):
        PublicKey.parse_pem(content, "keys/a.pub")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_key_or_a_clear_error(content: bytes) -> None:
    for parse in (PublicKey.parse_pem, PrivateKey.parse_pem):
        with pytest.raises(ConfigurationFault):
            parse(content, "f")


def test_a_private_key_is_read_back() -> None:
    key = PrivateKey.new("site")
    again = PrivateKey.parse_pem(key.to_pem(), "site")
    assert again.public == key.public
    assert key.public.verifies(again.sign(MESSAGE), MESSAGE)


def test_an_encrypted_private_key() -> None:
    content = private_pem(ec.generate_private_key(ec.SECP256R1()), b"sesame")
    assert PrivateKey.parse_pem(content, "k", b"sesame")
    with pytest.raises(ConfigurationFault, match=r"^k is encrypted; fix: give its password"):
        PrivateKey.parse_pem(content, "k")
    with pytest.raises(ConfigurationFault, match=r"^k cannot be read as a private key"):
        PrivateKey.parse_pem(content, "k", b"wrong")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a private key in PEM"),
        (public_pem(RSA), "is a public key, which cannot sign; fix: use the private key"),
        (private_pem(RSA), "is a key of another kind than ECDSA on P-256 and Ed25519"),
        (private_pem(ec.generate_private_key(ec.SECP384R1())), "is a key of another kind"),
        (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "is a private key in the format of cosign"),
    ],
)
def test_what_is_no_private_key_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigurationFault, match=f"^k {message}"):
        PrivateKey.parse_pem(content, "k")
