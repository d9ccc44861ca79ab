"""The sections ``server.tls`` and ``server.plain``: TLS, client certificates, and a second listener without TLS."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Final, Self

from pydantic import Field, model_validator

from mirror.settings.section import Mistakes, Section
from mirror.settings.section_values import FilePath
from mirror.settings.server.server_addresses import ListenAddress, ProxyNetwork

_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class ServerTlsSettings(Section):
    """Certificates of the server. The server reads all files again when they change."""

    certificate: FilePath = Field(description="PEM file with the certificate of the server, then intermediate ones")
    key: FilePath = Field(description="PEM file with the key of the certificate, without a passphrase")
    ca: FilePath | None = Field(
        None, description="PEM file with the CA certificate that hosts have to trust; the server offers it at /ca.crt"
    )
    ca_key: FilePath | None = Field(
        None,
        description="PEM file with the key of that CA. The server then renews its certificate before it expires, and "
        "must be able to write the certificate file",
    )
    client_ca: FilePath | None = Field(
        None,
        description="PEM file with the CA certificates of clients. A client with a certificate from them is known as "
        "the user cert:CN=NAME, cert:DNS=NAME, cert:URI=NAME or cert:EMAIL=NAME in access rules",
    )
    client_crl: FilePath | None = Field(
        None, description="PEM file with the lists of revoked certificates of client_ca, one for each CA"
    )

    @model_validator(mode="after")
    def _files_belong_together(self) -> Self:
        if self.ca_key is not None and self.ca is None:
            raise Mistakes((("ca_key",), "there is no certificate for this key; fix: add ca"))
        if self.client_crl is not None and self.client_ca is None:
            raise Mistakes((("client_crl",), "there is no CA whose certificates are revoked; fix: add client_ca"))
        return self


class PlainListenerSettings(Section):
    """A second address without TLS."""

    listen: ListenAddress = Field(description="address to listen on without TLS, as HOST:PORT")
    networks: tuple[ProxyNetwork, ...] = Field(
        _LOOPBACK,
        description="addresses and networks that may connect, such as 10.1.0.0/16; omitted: only this machine",
    )
