"""Advice for errors of the system."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from mirror.runtime.system_errors import certificate_words, distrust_words, how_to_fix, how_to_trust, no_passphrase


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "free some space on the disk of {folder}, and repeat"),
        (errno.EDQUOT, "free some space on the disk of {folder}, and repeat"),
        (errno.EROFS, "mount the disk of {folder} for writing, or choose another place"),
        (errno.EACCES, "run as its owner: sudo -u root …, or give this user access"),
        (errno.EISDIR, "name a file, because {folder}/f is a folder"),
        (errno.EEXIST, "choose another name"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n)"),
        (errno.EIO, "check the disk of {folder}: its log is in dmesg"),
        (errno.EFBIG, "write smaller files, which the file system of the drive can hold"),
        (errno.ENOENT, "correct the path"),
    ],
)
def test_each_error_has_its_advice(number: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", lambda _: type("User", (), {"pw_name": "root"}))
    fix = how_to_fix(OSError(number, "what the system says"), tmp_path / "f")
    assert fix == told.replace("{folder}", str(tmp_path))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "absent/f"))
    assert how_to_fix(error) == f"create the folder {tmp_path}/absent, or correct the path"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EPERM, 9999])
def test_an_error_without_a_path_has_advice_too(number: int) -> None:
    assert how_to_fix(OSError(number, "what the system says"))


def locked_key() -> bytes:
    """Return a private key with a passphrase."""
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )


def other_key() -> bytes:
    """Return the key of another certificate."""
    return trustme.CA().issue_cert("other.example").private_key_pem.bytes()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (lambda: b"no PEM", "it is not PEM, or damaged"),
        (other_key, "the key belongs to another certificate"),
        (locked_key, "the key has a passphrase"),
        (None, "No such file or directory"),
    ],
)
def test_a_key_that_openssl_does_not_take_has_our_words(key: object, words: str, tmp_path: Path) -> None:
    own = trustme.CA().issue_cert("mirror.example")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "crt"))
    if callable(key):
        (tmp_path / "key").write_bytes(key())
    with pytest.raises((OSError, ValueError)) as caught:
        ssl.create_default_context().load_cert_chain(tmp_path / "crt", tmp_path / "key", password=no_passphrase)
    assert certificate_words(caught.value).startswith(words)


def test_a_file_of_authorities_that_openssl_does_not_take_has_our_words(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("no certificate")
    with pytest.raises(ssl.SSLError) as caught:
        ssl.create_default_context(cafile=tmp_path / "ca")
    assert certificate_words(caught.value) == "it is not PEM, or damaged"


@pytest.mark.parametrize(("code", "told"), [(0, "it cannot be verified"), (99, "OpenSSL refuses it (reason 99)")])
def test_an_unknown_reason_not_to_trust_a_certificate_has_no_words_of_openssl(code: int, told: str) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    assert distrust_words(error) == told
    assert how_to_trust(error, "x.ca").endswith("name the file of the authority in x.ca")
