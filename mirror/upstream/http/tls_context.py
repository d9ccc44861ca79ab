"""TLS contexts: authorities that are trusted, and our own certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from mirror.oci.errors import ConfigurationFault


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates for one upstream.

    Attributes:
        ca_file: PEM file of authorities that are trusted beside the system's.
        certificate_file: PEM file of our own certificate, and those that lead to its authority; shown to the
            upstream's own host only.
        key_file: PEM file of its key, without a passphrase.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The files that it is made of."""
        return [file for file in (self.ca_file, self.certificate_file, self.key_file) if file is not None]

    def context(self, *, own: bool) -> ssl.SSLContext:
        """Make the context of a connection.

        Args:
            own: whether to the upstream itself, not to a host that it sent us to.

        Raises:
            ConfigurationFault: a file cannot be used.
        """
        context = ssl.create_default_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(cafile=self.ca_file.expanduser())
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise ConfigurationFault(f"ca_file {self.ca_file} cannot be used: {_words(error)}") from error
        if own and self.certificate_file is not None:
            key = self.key_file.expanduser() if self.key_file else None
            try:
                context.load_cert_chain(self.certificate_file.expanduser(), key, password=_no_passphrase)
            except (OSError, ValueError) as error:
                files = f"client certificate {self.certificate_file} with key {self.key_file or self.certificate_file}"
                raise ConfigurationFault(f"{files} cannot be used: {_words(error)}") from error
        return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _words(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
