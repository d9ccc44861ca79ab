"""PEM files with certificates, keys and lists of revoked certificates. All calls block."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mirror.access.certificates.certificate_authority import SigningPrivateKey
from mirror.access.certificates.client_names import UNREADABLE
from mirror.oci.errors import ConfigurationFault, StorageFault
from mirror.runtime.files import private_files
from mirror.runtime.system_errors import how_to_fix

#: Largest file that is read: a list of some 400 000 revoked certificates.
_MOST_BYTES: Final = 16 * 1024 * 1024
_LIST_BEGIN: Final = b"-----BEGIN X509 CRL-----"


def read_certificates(path: Path, key: str = "") -> list[x509.Certificate]:
    """Return the certificates of a PEM file, at least one.

    Args:
        path: path of the file.
        key: key of the configuration that names the file, for errors.

    Raises:
        ConfigurationFault: the file cannot be read, or has no valid certificate.
    """
    where = f"{key} {path}".lstrip()
    try:
        return x509.load_pem_x509_certificates(_read(path, where))
    except UNREADABLE as error:
        raise ConfigurationFault(
            f"{where} has no certificate in PEM format; fix: name a file with -----BEGIN CERTIFICATE----- in it"
        ) from error


def read_private_key(path: Path, key: str = "", *, signs: bool = False) -> SigningPrivateKey:
    """Return the private key of a PEM file.

    Args:
        path: path of the file.
        key: key of the configuration that names the file, for errors.
        signs: True if the caller signs certificates with the key. In a folder of another user, root then takes only a
            file of that user: a link could make root sign with a key that the user must not have.

    Raises:
        ConfigurationFault: the file cannot be read, or has no valid key without a passphrase.
    """
    where = f"{key} {path}".lstrip()
    try:
        found = serialization.load_pem_private_key(_read(path, where, of_folder=signs), password=None)
    except TypeError as error:
        raise ConfigurationFault(
            f"{where} is encrypted; fix: write it without a passphrase ('openssl pkey -in …')"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationFault(
            f"{where} has no private key in PEM format; fix: name a file with -----BEGIN PRIVATE KEY----- in it"
        ) from error
    if not isinstance(found, SigningPrivateKey):
        raise ConfigurationFault(f"{where} cannot sign; fix: use a key for ECDSA, RSA or Ed25519")
    return found


def read_revocation_lists(path: Path, key: str = "") -> list[x509.CertificateRevocationList]:
    """Return the lists of revoked certificates of a PEM file, at least one.

    Args:
        path: path of the file.
        key: key of the configuration that names the file, for errors.

    Raises:
        ConfigurationFault: the file cannot be read, or has no valid list.
    """
    where = f"{key} {path}".lstrip()
    parts = _read(path, where).split(_LIST_BEGIN)[1:]
    try:
        lists = [x509.load_pem_x509_crl(_LIST_BEGIN + part) for part in parts]
    except UNREADABLE as error:
        raise ConfigurationFault(
            f"{where} has a damaged list of revoked certificates; fix: have the CA write it again"
        ) from error
    if not lists:
        raise ConfigurationFault(
            f"{where} has no list of revoked certificates in PEM format; fix: name a file with "
            "-----BEGIN X509 CRL----- in it"
        )
    return lists


def key_pem(key: SigningPrivateKey) -> bytes:
    """Return a key in PEM form (PKCS 8), without a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificates_pem(certificates: list[x509.Certificate]) -> bytes:
    """Return certificates in PEM form."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def revocation_list_pem(revoked: x509.CertificateRevocationList) -> bytes:
    """Return a list of revoked certificates in PEM form."""
    return revoked.public_bytes(Encoding.PEM)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder during the block, so that one process at a time changes its certificates.

    The lock waits for its holder, and the kernel releases it when the holder dies.

    Raises:
        StorageFault: the folder cannot be opened.
    """
    with _reporting(folder, "open"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _reporting(folder, "lock"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> None:
    """Create a folder and its missing parents, for the owner alone.

    Raises:
        StorageFault: the folder cannot be created.
    """
    with _reporting(folder, "create"):
        if not folder.parent.exists():
            make_folders(folder.parent)
        private_files.make_folder(folder)


def write_file(path: Path, content: bytes) -> None:
    """Write a file as a whole: after a crash it has its old content or the new one.

    A new file is for its owner alone. A replaced file keeps its owner and mode. A link is replaced, and its target
    stays: root may work in the folder of a user who points the link at a file of root. The caller holds
    :func:`locked_folder`.

    Raises:
        StorageFault: the file cannot be written. The old content stays.
    """
    part = path.with_name(f".{path.name}.new")
    with _reporting(path, "write"):
        part.unlink(missing_ok=True)  # left by a crash
        try:
            _write_synced(part, path, content)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_synced(part: Path, path: Path, content: bytes) -> None:
    with os.fdopen(private_files.open_file(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        with suppress(FileNotFoundError):
            former = path.lstat()
            if stat.S_ISREG(former.st_mode):
                with suppress(PermissionError):  # only root gives files away
                    os.fchown(file.fileno(), former.st_uid, former.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(former.st_mode))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, where: str, *, of_folder: bool = False) -> bytes:
    try:
        owner = os.stat(path.parent).st_uid  # noqa: PTH116
        is_foreign = of_folder and os.geteuid() == 0 != owner
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_NOFOLLOW if is_foreign else 0))
        with os.fdopen(descriptor, "rb") as file:
            if is_foreign and os.fstat(descriptor).st_uid != owner:
                raise ConfigurationFault(
                    f"{where} is not of the user whose folder it is in; fix: change the owner of the file to that user"
                )
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationFault(f"{where} cannot be read: {error.strerror}; fix: {how_to_fix(error, path)}") from error
    if len(content) > _MOST_BYTES:
        raise ConfigurationFault(f"{where} is larger than {_MOST_BYTES} bytes; fix: name the file that was meant")
    return content


@contextmanager
def _reporting(path: Path, deed: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFault(
            f"cannot {deed} {path}: {error.strerror}; fix: {how_to_fix(error, path)}", path=str(path)
        ) from error
