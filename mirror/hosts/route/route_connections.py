"""Attempts to reach a registry as an engine does: name, TCP and TLS. Each attempt ends within its time."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import suppress
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from mirror.access.certificates.certificate_names import CertificateNames
from mirror.hosts.route.docker_files import TrustFolder
from mirror.hosts.route.route_facts import RegistryPlace, ShownCertificate, TcpAttempt, TlsAnswer, TlsOutcome
from mirror.oci.printable_text import printable
from mirror.runtime.system_errors import connection_words, distrust_words

#: Most seconds for one attempt at a step.
STEP_SECONDS: Final = 10.0
#: Most addresses of a registry that are tried.
_MOST_ADDRESSES: Final = 8
#: OpenSSL's codes of verification (x509_vfy.h).
_OUTCOMES: Final = {
    9: TlsOutcome.EXPIRED,  # not yet valid
    10: TlsOutcome.EXPIRED,
    62: TlsOutcome.WRONG_NAME,
    64: TlsOutcome.WRONG_NAME,  # IP address
}


async def resolve(place: RegistryPlace) -> tuple[tuple[str, ...], str]:
    """Return the IP addresses of a registry, and the reason if there are none."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[tuple[tuple[str, ...], str]] = loop.create_future()

    def settle(result: tuple[tuple[str, ...], str]) -> None:
        if not found.done():
            found.set_result(result)

    def look() -> None:
        result = _resolved(place)
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, result)

    # A thread that nothing waits for: a resolver that hangs must not keep the command from ending.
    threading.Thread(target=look, name="resolver", daemon=True).start()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await found
    except TimeoutError:
        return (), f"no name server answers within {STEP_SECONDS:.0f} s"


def _resolved(place: RegistryPlace) -> tuple[tuple[str, ...], str]:
    try:
        found = socket.getaddrinfo(place.name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return (), connection_words(error)
    except (OSError, UnicodeError):
        return (), "this is not a host name"
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))[:_MOST_ADDRESSES], ""


async def connect(address: str, port: int) -> TcpAttempt:
    """Try to connect to an address."""
    try:
        async with asyncio.timeout(STEP_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return TcpAttempt(address, port, f"no answer within {STEP_SECONDS:.0f} s")
    except OSError as error:
        return TcpAttempt(address, port, connection_words(error))
    writer.close()
    return TcpAttempt(address, port)


async def shake_hands(place: RegistryPlace, attempt: TcpAttempt, context: ssl.SSLContext) -> TlsAnswer:
    """Try TLS at an address that accepts connections.

    Args:
        place: the registry, whose name the certificate must have.
        attempt: the address and port.
        context: certificates that an engine trusts, see :func:`engine_tls`.
    """
    try:
        version, certificate = await _handshake(place, attempt, context)
    except ssl.SSLCertVerificationError as error:
        outcome = _OUTCOMES.get(error.verify_code, TlsOutcome.UNKNOWN_AUTHORITY)
        try:  # once more, to read the certificate that was refused
            version, certificate = await _handshake(place, attempt, unverified_tls())
        except OSError:
            version, certificate = "", None
        return TlsAnswer(outcome, version, distrust_words(error), certificate)
    except TimeoutError:
        return TlsAnswer(TlsOutcome.FAILED, why=f"no answer within {STEP_SECONDS:.0f} s")
    except OSError as error:  # ssl.SSLError is an OSError
        return TlsAnswer(TlsOutcome.FAILED, why=connection_words(error))
    return TlsAnswer(TlsOutcome.VERIFIED, version, certificate=certificate)


async def _handshake(
    place: RegistryPlace, attempt: TcpAttempt, context: ssl.SSLContext
) -> tuple[str, ShownCertificate | None]:
    async with asyncio.timeout(STEP_SECONDS):
        _, writer = await asyncio.open_connection(
            attempt.address, attempt.port, ssl=context, server_hostname=place.name, ssl_handshake_timeout=STEP_SECONDS
        )
    try:
        session: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return session.version() or "TLS", _shown(session.getpeercert(binary_form=True))
    finally:
        writer.transport.abort()


def engine_tls(trust: TrustFolder | None) -> ssl.SSLContext:
    """Return the TLS context of an engine for a registry that must use TLS. Blocks.

    Files that cannot be used are left out. The checks tell about them.

    Args:
        trust: certificates for the registry, besides those of the system; None if they are unknown.
    """
    context = ssl.create_default_context()
    # Go ignores the common name of a certificate.
    context.hostname_checks_common_name = False
    for file in () if trust is None else trust.authorities:
        with suppress(OSError, ValueError):
            context.load_verify_locations(cafile=file)
    for certificate, key in () if trust is None else trust.clients:
        with suppress(OSError, ValueError):
            # With an empty passphrase, OpenSSL does not ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
    return context


def unverified_tls() -> ssl.SSLContext:
    """Return the TLS context of an engine for a registry that may use plain HTTP. The engine verifies nothing then."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(encoded: bytes | None) -> ShownCertificate | None:
    if not encoded:
        return None
    try:
        found = x509.load_der_x509_certificate(encoded)
        common = found.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        issuer = str(common[0].value) if common else found.issuer.rfc4514_string()
        names = tuple(printable(name, 100) for name in CertificateNames.of(found))
    except ValueError:
        return None
    return ShownCertificate(names, printable(issuer, 100), found.not_valid_before_utc, found.not_valid_after_utc)
