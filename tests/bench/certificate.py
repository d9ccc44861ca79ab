"""The certificate of all servers with TLS, made anew for each run."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 with an ECDSA key on P-256.

    Attributes:
        file: PEM file with the key and the certificate.
        trust: TLS context of clients that trust the certificate.
    """

    file: Path
    trust: ssl.SSLContext


@contextmanager
def made() -> Iterator[Certificate]:
    """Make a CA and a certificate. The file is removed at the end."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with tempfile.TemporaryDirectory(prefix="certificate-") as folder:
        file = Path(folder) / "server.pem"
        issued = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
        issued.private_key_and_cert_chain_pem.write_to_path(file)
        yield Certificate(file, trust)
