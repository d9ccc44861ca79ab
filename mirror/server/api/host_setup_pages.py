"""``/ca.crt`` and ``/host-setup.sh``: help for hosts that do not trust the certificate of this server yet."""

from __future__ import annotations

from pathlib import Path

from aiohttp import hdrs, web
from cryptography import x509

from mirror.access.certificates.host_setup import MirrorAddress, host_setup_script
from mirror.access.certificates.pem_files import certificates_pem, read_certificates
from mirror.oci.errors import ClientFault, ConfigurationFault, NotFound
from mirror.runtime.clock import Clock
from mirror.runtime.files.reloading_file import ReloadingFile
from mirror.server.forwarded import ForwardedHeaders


class HostSetupPages:
    """Handlers of ``/ca.crt`` and ``/host-setup.sh``. Everybody may read them: certificates are public.

    Args:
        forwarded: finds the address at which the client reaches the server.
        ca: PEM file with the certificates that hosts have to trust; None if the server offers none.
        tls_port: port of the listener with TLS.
        clock: determines when to check the file again.

    Raises:
        ConfigurationFault: the file cannot be read, or has no certificate.
    """

    def __init__(self, forwarded: ForwardedHeaders, ca: Path | None, tls_port: int, clock: Clock) -> None:
        self._forwarded = forwarded
        self._tls_port = tls_port
        # Parsed, so that nothing but certificates leaves the server, whatever else is in the file.
        self._ca = (
            None
            if ca is None
            else ReloadingFile("CA certificate", [ca], lambda: read_certificates(ca, "server.tls.ca"), clock)
        )

    async def ca_certificate(self, request: web.BaseRequest) -> web.Response:
        """Answer with the CA certificates in PEM form. Raises NotFound if the server offers none."""
        return _answer(certificates_pem(await self._certificates(request)), "application/x-pem-file")

    async def script(self, request: web.BaseRequest) -> web.Response:
        """Answer with the script that lets a host trust the CA.

        Raises:
            NotFound: the server offers no CA certificate.
            ClientFault: the request has no usable host.
        """
        certificates = await self._certificates(request)
        return _answer(host_setup_script(self._address(request), certificates), "text/x-shellscript")

    async def _certificates(self, request: web.BaseRequest) -> list[x509.Certificate]:
        if self._ca is None:
            raise NotFound(
                f"{request.path}: this server offers no CA certificate; fix: the operator of the server sets "
                "server.tls.ca"
            )
        return await self._ca.current()

    def _address(self, request: web.BaseRequest) -> MirrorAddress:
        url = self._forwarded.public_url(request)
        try:
            # A client of the listener without TLS needs the certificate for the other listener.
            return MirrorAddress.of_url(url, self._tls_port)
        except ConfigurationFault as error:
            raise ClientFault(
                f"{request.path}: the header Host names no address of this server: {error}", url=url
            ) from error


def _answer(body: bytes, content_type: str) -> web.Response:
    return web.Response(body=body, content_type=content_type, headers={hdrs.CACHE_CONTROL: "no-store"})
