"""Callers that show a client certificate on their TLS connection."""

from __future__ import annotations

from typing import Final

import structlog
from aiohttp import hdrs, web

from mirror.access.callers import Caller, CallersByCertificate, CertificateRefused
from mirror.oci.errors import Denied
from mirror.oci.printable_text import printable
from mirror.records.changes.actor import ActorKind, act_as
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.request_context import CLIENT_CERTIFICATE, USER

_log = structlog.get_logger(__name__)

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ConnectionCallers:
    """Identifies callers by the certificates of their connections.

    The certificate of a trusted proxy says nothing about the clients behind the proxy, and is ignored.

    Args:
        callers: the clients with certificates.
        forwarded: finds proxies, and the site of a web page that makes a browser send a request.
    """

    def __init__(self, callers: CallersByCertificate, forwarded: ForwardedHeaders) -> None:
        self._callers = callers
        self._forwarded = forwarded

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Identify the caller, and note it in the request.

        Returns:
            The client that the certificate names; None without a certificate.

        Raises:
            CertificateRefused: the certificate is not good any more.
            Denied: a web page of another site makes a browser change something with the certificate of its user.
        """
        der = None if request.transport is None else request.transport.get_extra_info("client_certificate")
        if der is None or self._forwarded.is_relayed(request):
            return None
        try:
            client = await self._callers.by_certificate(der)
        except CertificateRefused as error:  # once for a connection, which ends with this answer
            _log.info(
                "client certificate refused", client=self._forwarded.client_address(request), reason=error.message
            )
            raise
        # Browsers send certificates with whatever any page asks for.
        if request.method not in _READING and not self._forwarded.is_of_own_site(request):
            origin = printable(request.headers.get(hdrs.ORIGIN, ""), 100)
            raise Denied(
                f"a web page of {origin} may not change anything with the client certificate {client.name}; fix: send "
                "the request without the header Origin, or from a page of this server"
            )
        request[CLIENT_CERTIFICATE] = client
        if client.name is not None:
            request[USER] = client.name
            act_as(ActorKind.CERTIFICATE, client.name)
        return client
