"""Connections that have no client certificate, or none that counts."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from mirror.access.callers import Caller
from mirror.server.connection_callers import ConnectionCallers
from mirror.server.forwarded import ForwardedHeaders, TrustedProxies
from mirror.server.request_context import CLIENT_CERTIFICATE, USER


class Nobody:
    """Fails the test if a certificate is to be identified."""

    async def by_certificate(self, der: bytes) -> Caller:
        raise AssertionError(der)


def transport(**facts: object) -> Mock:
    values: dict[str, Any] = {"peername": ("192.0.2.7", 4711), **facts}
    return Mock(get_extra_info=lambda name, default=None: values.get(name, default))


@pytest.mark.parametrize("facts", [{}, {"client_certificate": None}], ids=["without TLS", "with TLS"])
async def test_a_connection_without_a_certificate(facts: dict[str, object]) -> None:
    request = make_mocked_request("GET", "/v2/", transport=transport(**facts))
    assert await ConnectionCallers(Nobody(), ForwardedHeaders()).caller(request) is None
    assert CLIENT_CERTIFICATE not in request
    assert USER not in request


@pytest.mark.parametrize(
    "proxies", [TrustedProxies((ip_network("192.0.2.0/24"),)), TrustedProxies(everyone=True)], ids=["listed", "all"]
)
async def test_the_certificate_of_a_proxy_is_not_looked_at(proxies: TrustedProxies) -> None:
    request = make_mocked_request("GET", "/v2/", transport=transport(client_certificate=b"a certificate"))
    assert await ConnectionCallers(Nobody(), ForwardedHeaders(None, proxies)).caller(request) is None
