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
    """Identifies no certificate, and fails the test if it is asked to."""

    async def by_certificate(self, der: bytes) -> Caller:
        raise AssertionError(der)


def transport(tls: object, address: str = "192.0.2.7") -> Mock:
    values: dict[str, Any] = {"ssl_object": tls, "sslcontext": tls, "peername": (address, 4711), "sockname": None}
    return Mock(get_extra_info=lambda name, default=None: values.get(name, default))


@pytest.mark.parametrize("der", [None, b""])
async def test_tls_without_a_certificate(der: bytes | None) -> None:
    tls = Mock(getpeercert=Mock(return_value=der))
    request = make_mocked_request("GET", "/v2/", transport=transport(tls))
    assert await ConnectionCallers(Nobody(), ForwardedHeaders()).caller(request) is None
    tls.getpeercert.assert_called_once_with(binary_form=True)
    assert CLIENT_CERTIFICATE not in request
    assert USER not in request


async def test_a_connection_without_tls() -> None:
    request = make_mocked_request("GET", "/v2/", transport=transport(None))
    assert await ConnectionCallers(Nobody(), ForwardedHeaders()).caller(request) is None


@pytest.mark.parametrize(
    "proxies", [TrustedProxies((ip_network("192.0.2.0/24"),)), TrustedProxies(everyone=True)], ids=["listed", "all"]
)
async def test_the_certificate_of_a_proxy_is_not_looked_at(proxies: TrustedProxies) -> None:
    tls = Mock(getpeercert=Mock(return_value=b"a certificate"))
    request = make_mocked_request("GET", "/v2/", transport=transport(tls))
    assert await ConnectionCallers(Nobody(), ForwardedHeaders(None, proxies)).caller(request) is None
    tls.getpeercert.assert_not_called()
