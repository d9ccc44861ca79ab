"""The certificates of the server, read from files, as a TLS context."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import structlog

from mirror.access.certificates.client_authorities import ClientAuthorities
from mirror.access.certificates.pem_files import read_certificates, read_private_key
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import Clock
from mirror.runtime.files.reloading_file import ReloadingFile
from mirror.runtime.system_errors import certificate_words
from mirror.server.tls.tls_socket import TlsSocket

_log = structlog.get_logger(__name__)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
#: Cipher suites of TLS 1.2. All have forward secrecy and authenticated encryption. TLS 1.3 has no others.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ContextSource(Protocol):
    """Port that gives the TLS context for a new connection."""

    async def current(self) -> ssl.SSLContext:
        """Return the context."""
        ...


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Files of the server's certificates, all of them PEM.

    Attributes:
        certificate: certificate of the server, followed by intermediate ones.
        key: key of the certificate, without a passphrase.
        client_ca: certificates of the authorities whose client certificates are accepted; None for no client
            certificates.
        client_crl: lists of revoked client certificates, one for each authority; None for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_crl: Path | None = None

    @property
    def files(self) -> list[Path]:
        """The configured files."""
        found = (self.certificate, self.key, self.client_ca, self.client_crl)
        return [file for file in found if file is not None]

    def reloading(self, clock: Clock) -> ReloadingFile[ssl.SSLContext]:
        """Return the context, which is made again when the files change. Connections keep the context they began with.

        Raises:
            ConfigurationFault: a file is unusable.
        """
        return ReloadingFile("certificate", self.files, lambda: self.context(clock.now()), clock)

    def context(self, now: datetime) -> ssl.SSLContext:
        """Return the TLS context of the server. Blocks.

        Args:
            now: the time at which the certificates must be valid.

        Raises:
            ConfigurationFault: a file cannot be read, is not PEM, does not belong to the others, or is not valid now.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslsocket_class = TlsSocket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        self._load_own(context, now)
        if self.client_ca is not None:
            self._load_client_ca(context, self.client_ca, now)
        return context

    def _load_own(self, context: ssl.SSLContext, now: datetime) -> None:
        certificate, key = self.certificate, self.key
        own = read_certificates(certificate, "server.tls.certificate")[0]
        read_private_key(key, "server.tls.key")
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationFault(
                f"server.tls.key {key} cannot be used with the certificate {certificate}: {_reason(error)}"
            ) from error
        _require_valid("server.tls.certificate", certificate, own.not_valid_before_utc, own.not_valid_after_utc, now)

    def _load_client_ca(self, context: ssl.SSLContext, client_ca: Path, now: datetime) -> None:
        authorities = ClientAuthorities.read(client_ca, self.client_crl)
        context.load_verify_locations(cadata=authorities.pem)
        # A client without a certificate may log in, or is anonymous.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # A resumed session is not checked against the list of revoked ones. The session ids of TLS 1.2 remain, because
        # Python cannot switch them off, and end with this context.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        if self.client_crl is not None:
            path = self.client_crl
            for each in authorities.lists:
                _warn_unless_valid(path, each.last_update_utc, each.next_update_utc, now)
            try:
                context.load_verify_locations(cafile=path)
            except OSError as error:  # the file has changed meanwhile, or has more in it than lists
                raise ConfigurationFault(
                    f"server.tls.client_crl {path} cannot be used: {certificate_words(error)}; "
                    "fix: have the CA write it again"
                ) from error
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _require_valid(key: str, path: Path, since: datetime, until: datetime, now: datetime) -> None:
    if now >= until:
        raise ConfigurationFault(
            f"{key} {path} expired on {_date(until)}, and it is {_date(now)} now; fix: renew it, "
            "or set the clock of this machine"
        )
    if now < since:
        raise ConfigurationFault(
            f"{key} {path} is valid from {_date(since)}, and it is {_date(now)} now; fix: set the clock of this machine"
        )


def _warn_unless_valid(path: Path, since: datetime, until: datetime | None, now: datetime) -> None:
    """Log that a list is not valid now. The clients of its CA are refused, and all others must not suffer from that."""
    if not since <= now < (until or _NEVER):
        _log.warning(
            "list of revoked certificates is not valid, so the clients of its CA are refused",
            file=str(path),
            valid_from=_date(since),
            valid_until=_date(until or _NEVER),
            fix="fetch a new list from the CA, or set the clock of this machine",
        )


def _date(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"{certificate_words(error)}; fix: give the key that the certificate was made for"
    return f"{certificate_words(error)}; fix: have the certificate issued again"
