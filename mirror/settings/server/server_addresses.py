"""Addresses of the server in the configuration: its own, its public URL, and those of the proxies in front of it."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from mirror.settings.server.listen_address import HostPort

_LARGEST_PORT = 65_535
_URL = re.compile(r"(https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?)(/.*)?")


def _parse_listen(value: object) -> object:
    if not isinstance(value, str | HostPort):
        raise ValueError("is not HOST:PORT; fix: write one address, such as 127.0.0.1:5000")  # noqa: TRY004
    return HostPort.parse(value) if isinstance(value, str) else value


def _check_url(url: str) -> str:
    from mirror.wire.request_line import parse_prefix  # late: few configurations have a URL

    match = _URL.fullmatch(url)
    prefix = None if match is None else parse_prefix(match[3] or "")
    if match is None or prefix is None or not 0 < int(match[2] or 80) <= _LARGEST_PORT:
        raise ValueError(
            "is not SCHEME://HOST[:PORT][/PATH]; fix: write it like https://plugins.example/registry. A path has "
            "letters, digits and . _ ~ - between its slashes, and does not begin with /v2"
        )
    return f"{match[1]}{prefix}"


def _parse_network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(str(value))  # not the value: a number would be read as an address
    except ValueError as error:
        raise ValueError(
            "is not a network or address; fix: write it like 10.0.0.0/8 or 192.0.2.7, without bits after the network"
        ) from error


ListenAddress = Annotated[
    HostPort,
    BeforeValidator(_parse_listen, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]


PublicUrl = Annotated[str, AfterValidator(_check_url)]
ProxyNetwork = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_parse_network, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]
