"""The server's address as clients see it, and the clients' addresses."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from mirror.server.forwarded import ForwardedHeaders

PROXIED = {"Host": "plugins.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6, 192.0.2.7"}


def asked(headers: Mapping[str, str], **facts: object) -> web.Request:
    facts = {"sockname": ("127.0.0.1", 5000), "peername": ("198.51.100.1", 4711), "sslcontext": None, **facts}
    transport = Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: facts.get(name, default)
    return make_mocked_request("GET", "/v2/", headers, transport=transport)


@pytest.mark.parametrize(
    ("forwarded", "headers", "facts", "url"),
    [
        (ForwardedHeaders(), {"Host": "plugins.example:5000"}, {}, "http://plugins.example:5000"),
        (ForwardedHeaders(), {"Host": "[2001:db8::1]:5000"}, {}, "http://[2001:db8::1]:5000"),
        (ForwardedHeaders(), {"Host": "a"}, {"sslcontext": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "https://a"),
        (ForwardedHeaders(), {}, {}, "http://127.0.0.1:5000"),
        (ForwardedHeaders(), {}, {"sockname": ("::1", 5000, 0, 0)}, "http://[::1]:5000"),
        (ForwardedHeaders(), {}, {"sockname": "/run/mirror.sock"}, "http://localhost"),
        (ForwardedHeaders(), {"Host": 'a",realm="b'}, {}, "http://127.0.0.1:5000"),
        (ForwardedHeaders(), {"Host": "user@a"}, {}, "http://127.0.0.1:5000"),
        (ForwardedHeaders(), PROXIED, {}, "http://plugins.example"),
        (ForwardedHeaders(behind_proxy=True), PROXIED, {}, "https://plugins.example"),
        (ForwardedHeaders(behind_proxy=True), PROXIED | {"X-Forwarded-Proto": "gopher"}, {}, "http://plugins.example"),
        (ForwardedHeaders("https://there.example", behind_proxy=True), PROXIED, {}, "https://there.example"),
    ],
)
def test_where_clients_reach_it(
    forwarded: ForwardedHeaders, headers: Mapping[str, str], facts: Mapping[str, object], url: str
) -> None:
    assert forwarded.public_url(asked(headers, **facts)) == url


@pytest.mark.parametrize(
    ("forwarded", "headers", "address"),
    [
        (ForwardedHeaders(), PROXIED, "198.51.100.1"),
        (
            ForwardedHeaders(behind_proxy=True),
            PROXIED,
            "192.0.2.7",
        ),  # the address added by the proxy, not the one sent by the client
        (ForwardedHeaders(behind_proxy=True), {}, "198.51.100.1"),
    ],
)
def test_where_clients_are(forwarded: ForwardedHeaders, headers: Mapping[str, str], address: str) -> None:
    assert forwarded.client_key(asked(headers)) == address


DIRECT = {"Host": "127.0.0.1:5000"}


@pytest.mark.parametrize(
    ("forwarded", "headers", "direct"),
    [
        (ForwardedHeaders(), DIRECT, True),
        (ForwardedHeaders(), {"Host": "localhost"}, True),
        (ForwardedHeaders(), {"Host": "[::1]:5000"}, True),
        (ForwardedHeaders(), {"Host": "127.8.9.1"}, True),
        (ForwardedHeaders(), DIRECT | {"Origin": "http://127.0.0.1:5000"}, True),
        (ForwardedHeaders(), {}, False),
        (ForwardedHeaders(), {"Host": "127.0.0.1:5000:1"}, False),
        (ForwardedHeaders(), {"Host": "mirror.example"}, False),
        (ForwardedHeaders(), {"Host": "127.0.0.1.example"}, False),
        (ForwardedHeaders(), {"Host": "2130706433"}, False),
        (ForwardedHeaders(), DIRECT | {"Origin": "http://mirror.example"}, False),
        (ForwardedHeaders(), DIRECT | {"Origin": "null"}, False),
        (ForwardedHeaders(), DIRECT | {"x-forwarded-by": "a proxy"}, False),
        (ForwardedHeaders(), DIRECT | {"VIA": "1.1 a"}, False),
        (ForwardedHeaders(), DIRECT | {"X-Real-IP": "192.0.2.7"}, False),
        (ForwardedHeaders(behind_proxy=True), DIRECT, False),
        (ForwardedHeaders("https://there.example"), DIRECT, False),
    ],
)
def test_what_a_program_on_the_machine_sends_itself(
    forwarded: ForwardedHeaders, headers: Mapping[str, str], direct: bool
) -> None:
    assert forwarded.is_direct(asked(headers)) is direct
