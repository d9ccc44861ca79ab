"""Identities of clients by the certificates of their connections."""

from __future__ import annotations

from pathlib import Path

from mirror.access.certificates.client_authorities import ClientAuthorities
from mirror.access.certificates.client_identity import ClientIdentity
from mirror.runtime.clock import Clock
from mirror.runtime.files.reloading_file import ReloadingFile


class ClientCertificates:
    """Identifies clients. The files are read again when they change.

    Args:
        ca_file: PEM file of the CAs of clients.
        list_file: PEM file of their lists of revoked certificates; None to revoke nothing.
        clock: source of the time.

    Raises:
        ConfigurationFault: a file is unusable.
    """

    def __init__(self, ca_file: Path, list_file: Path | None, clock: Clock) -> None:
        files = [ca_file] if list_file is None else [ca_file, list_file]
        self._authorities = ReloadingFile(
            "CA of clients", files, lambda: ClientAuthorities.read(ca_file, list_file), clock
        )
        self._clock = clock

    async def identity(self, der: bytes) -> ClientIdentity:
        """Return the identity of a client. A change of the files ends the identity after at most two seconds.

        Args:
            der: certificate of the client, which the handshake of TLS has verified.

        Raises:
            CertificateRefused: the certificate is not good any more.
        """
        now = self._clock.now()
        known = (await self._authorities.current()).known(der, now)
        # The handshake may have used files that are newer than those of the last look.
        return known or (await self._authorities.newest()).judge(der, now)
