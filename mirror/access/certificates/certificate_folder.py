"""Folder with the files of a local CA, and their creation. All calls block."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mirror.access.certificates.certificate_authority import CertificateAuthority, SigningPrivateKey, new_key
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.pem_files import (
    certificates_pem,
    key_pem,
    locked_folder,
    make_folders,
    read_certificates,
    read_private_key,
    write_file,
)
from mirror.oci.errors import ConfigurationFault


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Files of a server certificate, and of the CA that renews it.

    Attributes:
        certificate: the certificate of the server, then intermediate ones.
        key: the key of the certificate.
        ca: the CA certificate that hosts trust.
        ca_key: the key of the CA.
    """

    certificate: Path
    key: Path
    ca: Path
    ca_key: Path

    def authority(self) -> CertificateAuthority:
        """Read the CA. Raises ConfigurationFault if its files cannot be read, or do not belong together."""
        return read_authority(self.ca, self.ca_key)


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """Paths in a folder of a local CA."""

    root: Path

    @property
    def server(self) -> ServerFiles:
        """Files of the server."""
        root = self.root
        return ServerFiles(root / "server.crt", root / "server.key", root / "ca.crt", root / "ca.key")

    @property
    def client_ca(self) -> Path:
        """Certificate of the CA of clients."""
        return self.root / "client-ca.crt"

    @property
    def client_ca_key(self) -> Path:
        """Key of the CA of clients."""
        return self.root / "client-ca.key"

    @property
    def client_crl(self) -> Path:
        """List of revoked certificates of clients."""
        return self.root / "clients.crl"

    @property
    def clients(self) -> Path:
        """Folder of the certificates and keys of clients."""
        return self.root / "clients"

    def client(self, name: str) -> tuple[Path, Path]:
        """Return the certificate and the key of a client. Docker Engine asks for these endings."""
        # A folder of their own: a client with the name ca must not have the key of the CA.
        return self.clients / f"{name}.cert", self.clients / f"{name}.key"


def make_server_files(folder: CertificateFolder, names: CertificateNames, now: datetime) -> None:
    """Create a CA, and a certificate for the server with a key. Files that exist are used and stay unchanged.

    An interrupted run can therefore be repeated.

    Args:
        folder: the folder, which is created if it does not exist.
        names: names of the server, which become the only ones that the CA permits.
        now: the current time.

    Raises:
        ConfigurationFault: the server has a certificate already, files that exist do not belong together, or an
            existing CA does not permit the names.
        StorageFault: a file cannot be written.
    """
    files = folder.server
    make_folders(folder.root)
    with locked_folder(folder.root):
        if files.certificate.exists():
            raise ConfigurationFault(
                f"{files.certificate} exists, and is not overwritten; fix: renew it with 'plugin-mirror tls renew', "
                "or choose another folder with --out"
            )
        if files.ca.exists():
            ca = files.authority()
        else:
            ca = CertificateAuthority.for_servers(key_of(files.ca_key), names, now)
            write_file(files.ca, certificates_pem([ca.certificate]))
        certificate = ca.issue_server(key_of(files.key).public_key(), names, now)
        write_file(files.certificate, certificates_pem([certificate]))


def key_of(path: Path) -> SigningPrivateKey:
    """Return the key in a file, and create it if the file does not exist. The caller holds the lock of the folder.

    Raises:
        ConfigurationFault: the file has no valid key.
        StorageFault: the file cannot be written.
    """
    if not path.exists():
        key = new_key()
        write_file(path, key_pem(key))
        return key
    return read_private_key(path)


def read_authority(certificate: Path, key: Path) -> CertificateAuthority:
    """Read a CA. Raises ConfigurationFault if its files cannot be read, or do not belong together."""
    signing_key = read_private_key(key, signs=True)
    return CertificateAuthority.of(read_certificates(certificate), signing_key, f"{certificate} and {key}")
