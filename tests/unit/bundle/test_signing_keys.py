"""Keys that sign bundles, and their files."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from securesystemslib.dsse import Envelope as IndependentEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from mirror.bundle.format.envelope import Envelope
from mirror.bundle.trust.signing_key_files import load_signing_key, load_verifying_key, make_key_files, public_key_path
from mirror.bundle.trust.signing_keys import SigningKey, VerifyingKey, sign
from mirror.oci.errors import ConfigurationFault


async def test_a_new_pair_of_keys_is_in_two_files(tmp_path: Path):
    private = tmp_path / "site"
    public = await make_key_files(private)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert (await load_signing_key(private)).public == public == await load_verifying_key(public_key_path(private))
    openssl = ["openssl", "pkey", "-pubin", "-in", public_key_path(private), "-outform", "DER"]
    assert subprocess.run(openssl, capture_output=True, check=True).stdout[-32:] == public.raw


async def test_keys_of_openssl_fit(tmp_path: Path):
    for arguments in (
        ["genpkey", "-algorithm", "ed25519", "-out", "site"],
        ["pkey", "-in", "site", "-pubout", "-out", "site.pub"],
    ):
        subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, check=True)
    assert (await load_signing_key(tmp_path / "site")).public == await load_verifying_key(tmp_path / "site.pub")


@pytest.mark.parametrize("name", ["site", "site.pub"])
async def test_no_file_is_overwritten(tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigurationFault, match=f"{name} exists"):
        await make_key_files(tmp_path / "site")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


async def test_a_missing_folder_and_a_missing_file_are_named(tmp_path: Path):
    with pytest.raises(ConfigurationFault, match="no folder"):
        await make_key_files(tmp_path / "none" / "site")
    with pytest.raises(ConfigurationFault, match=r"none\.pub cannot be read"):
        await load_verifying_key(tmp_path / "none.pub")


def test_other_documents_are_not_keys():
    key, other = SigningKey.new(), ec.generate_private_key(ec.SECP256R1())
    of_ec = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    encrypted = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    for content, message in [
        (key.public.to_pem(), "is a public key"),
        (b"", "not a private key"),
        (of_ec, "another kind"),
        (encrypted, "is encrypted; fix: "),
    ]:
        with pytest.raises(ConfigurationFault, match=message):
            SigningKey.parse_pem(content, "F")
    for content, message in [(key.to_pem(), r"private key.*F\.pub"), (b"", "not a public key"), (b"\0" * 9, "not a")]:
        with pytest.raises(ConfigurationFault, match=message):
            VerifyingKey.parse_pem(content, "F")


def test_another_program_verifies_our_signatures():
    key, other = SigningKey.new(), SigningKey.new()
    ours = sign(Envelope("application/vnd.in-toto+json", b'{"a": 1}'), key)
    theirs = IndependentEnvelope.from_dict(json.loads(ours.to_bytes(4096)))
    independent = [
        SSlibKey(each.public.key_id, "ed25519", "ed25519", {"public": each.public.raw.hex()}) for each in (key, other)
    ]
    assert list(theirs.verify(independent[:1], 1)) == [key.public.key_id]
    with pytest.raises(VerificationError):
        theirs.verify(independent[1:], 1)


def test_a_key_signs_once():
    key = SigningKey.new()
    signed = sign(sign(Envelope("text/plain", b"a"), key), key)
    assert len(signed.signatures) == 1
