"""TLS contexts: trusted certificate authorities, and the client certificate."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.system_errors import certificate_words, no_passphrase

#: The setting for a server that is not in the configuration.
NO_SETTING: Final = "tls.ca_file of an upstream with its URL"


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates for one upstream.

    Attributes:
        ca_file: PEM file of authorities that are trusted in addition to those of the system.
        certificate_file: PEM file with the client certificate and its chain. Sent only to the upstream's own host.
        key_file: PEM file with the key of the certificate, without a passphrase.
        ca_setting: the setting with the name of ``ca_file``, for messages.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    ca_setting: str = field(default=NO_SETTING, compare=False)

    @property
    def files(self) -> list[Path]:
        """The configured files."""
        return [file for file in (self.ca_file, self.certificate_file, self.key_file) if file is not None]

    def context(self, *, own: bool) -> ssl.SSLContext:
        """Return a TLS context.

        Args:
            own: True for connections to the upstream itself, False for hosts to which the upstream redirects.

        Raises:
            ConfigurationFault: a file is unusable.
        """
        context = ssl.create_default_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(cafile=self.ca_file)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise ConfigurationFault(
                    f"ca_file {self.ca_file} cannot be used: {certificate_words(error)}"
                ) from error
        if own and self.certificate_file is not None:
            try:
                context.load_cert_chain(self.certificate_file, self.key_file, password=no_passphrase)
            except (OSError, ValueError) as error:
                files = f"client certificate {self.certificate_file} with key {self.key_file or self.certificate_file}"
                raise ConfigurationFault(f"{files} cannot be used: {certificate_words(error)}") from error
        return context
