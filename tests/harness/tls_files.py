"""A server's certificate and key in files, and the files of clients that trust or show certificates."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import trustme


class TlsFiles:
    """Certificate and key in a folder, which can be replaced while a server uses them.

    Args:
        folder: Existing folder. It receives `server.crt` and `server.key`.
        issued: The certificate, from trustme.
    """

    def __init__(self, folder: Path, issued: trustme.LeafCert) -> None:
        self.certificate, self.key = folder / "server.crt", folder / "server.key"
        self.replace(issued)

    @property
    def section(self) -> dict[str, str]:
        """The required keys of `server.tls`."""
        return {"certificate": str(self.certificate), "key": str(self.key)}

    def replace(self, issued: trustme.LeafCert) -> None:
        """Replace certificate and key."""
        self.replace_with(chain(issued), issued.private_key_pem.bytes())

    def replace_with(self, certificate: bytes, key: bytes) -> None:
        """Replace the content of both files. Each file changes at once."""
        for path, content in ((self.key, key), (self.certificate, certificate)):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.chmod(0o600)
            fresh.replace(path)


def chain(issued: trustme.LeafCert) -> bytes:
    """Return a certificate and the intermediate ones after it."""
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in PEM or DER. Only the first one of a chain counts."""
    if certificate.startswith(b"-----"):
        certificate = ssl.PEM_cert_to_DER_cert(certificate.decode().partition("-----END")[0] + ssl.PEM_FOOTER)
    return hashlib.sha256(certificate).hexdigest()


def write_client(folder: Path, issued: trustme.LeafCert) -> None:
    """Write a client certificate into a folder of `certs.d`, under the names that engines and podman read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "client.cert").write_bytes(chain(issued))
    (folder / "client.key").write_bytes(issued.private_key_pem.bytes())


def write_ca(folder: Path, ca: trustme.CA) -> None:
    """Write a CA that clients trust into a folder of `certs.d`."""
    folder.mkdir(parents=True, exist_ok=True)
    ca.cert_pem.write_to_path(str(folder / "ca.crt"))
