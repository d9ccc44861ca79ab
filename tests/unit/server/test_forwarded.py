"""The server's address as clients see it, and the clients' addresses."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from ipaddress import ip_network
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from mirror.server.forwarded import ForwardedHeaders, TrustedProxies

ANYBODY = TrustedProxies(everyone=True)
#: The peer of all requests below is one of them.
KNOWN = TrustedProxies((ip_network("198.51.100.0/24"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))
OTHERS = TrustedProxies((ip_network("203.0.113.0/24"),))
PROXIED = {"Host": "plugins.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6, 192.0.2.7"}
OUTER = "https://outer.example:8443"
FORWARDED = {
    "Host": "inner",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "outer.example:8443",
    "X-Forwarded-Prefix": "/a/b/",
}


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
        (ForwardedHeaders(proxies=ANYBODY), PROXIED, {}, "https://plugins.example"),
        (ForwardedHeaders(proxies=ANYBODY), PROXIED | {"X-Forwarded-Proto": "gopher"}, {}, "http://plugins.example"),
        (ForwardedHeaders("https://there.example", ANYBODY), PROXIED, {}, "https://there.example"),
        (ForwardedHeaders(proxies=KNOWN), PROXIED, {}, "https://plugins.example"),
        (ForwardedHeaders(proxies=OTHERS), PROXIED, {}, "http://plugins.example"),
        (ForwardedHeaders(proxies=OTHERS), FORWARDED, {}, "http://inner"),
        (ForwardedHeaders(), FORWARDED, {}, "http://inner"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED, {}, "https://outer.example:8443/a/b"),
        (ForwardedHeaders(proxies=ANYBODY), FORWARDED, {}, "https://outer.example:8443/a/b"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED, {"peername": ("::ffff:10.1.2.3", 1, 0, 0)}, f"{OUTER}/a/b"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED, {"peername": ("2001:db8::1%eth0", 1, 0, 0)}, f"{OUTER}/a/b"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED, {"peername": "/run/x"}, "http://inner"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED | {"X-Forwarded-Host": 'x", realm="y'}, {}, "https://inner/a/b"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED | {"X-Forwarded-Host": "forged, true"}, {}, "https://true/a/b"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED | {"X-Forwarded-Prefix": "//evil.example"}, {}, OUTER),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED | {"X-Forwarded-Prefix": "/forged, /c"}, {}, f"{OUTER}/c"),
        (ForwardedHeaders("https://there.example/r", KNOWN), FORWARDED, {}, "https://there.example/r"),
        (ForwardedHeaders("https://there.example", KNOWN), FORWARDED, {}, "https://there.example/a/b"),
        (ForwardedHeaders("https://there.example", OTHERS), FORWARDED, {}, "https://there.example"),
    ],
)
def test_where_clients_reach_it(
    forwarded: ForwardedHeaders, headers: Mapping[str, str], facts: Mapping[str, object], url: str
) -> None:
    assert forwarded.public_url(asked(headers, **facts)) == url


def hops(*addresses: str) -> dict[str, str]:
    return {"X-Forwarded-For": ", ".join(addresses)}


@pytest.mark.parametrize(
    ("forwarded", "headers", "address"),
    [
        (ForwardedHeaders(), PROXIED, "198.51.100.1"),
        (
            ForwardedHeaders(proxies=ANYBODY),
            PROXIED,
            "192.0.2.7",
        ),  # the address added by the proxy, not the one sent by the client
        (ForwardedHeaders(proxies=ANYBODY), {}, "198.51.100.1"),
        (ForwardedHeaders(proxies=KNOWN), {}, "198.51.100.1"),
        (ForwardedHeaders(proxies=KNOWN), PROXIED, "192.0.2.7"),
        (ForwardedHeaders(proxies=OTHERS), PROXIED, "198.51.100.1"),
        (ForwardedHeaders(proxies=KNOWN), hops("6.6.6.6", "192.0.2.7", "10.0.0.1", "10.0.0.2"), "192.0.2.7"),
        (ForwardedHeaders(proxies=KNOWN), hops("192.0.2.7:4711", "10.0.0.1:80", "[2001:db8::1]:80"), "192.0.2.7"),
        (ForwardedHeaders(proxies=KNOWN), hops("10.0.0.9", "10.0.0.1"), "10.0.0.9"),
        (ForwardedHeaders(proxies=KNOWN), hops("", "192.0.2.7", "", " "), "192.0.2.7"),
        (ForwardedHeaders(proxies=KNOWN), hops("192.0.2.7", "unknown", "10.0.0.1"), "unknown"),
        (ForwardedHeaders(proxies=KNOWN), hops("x" * 5000), "x" * 64),
        (ForwardedHeaders(proxies=KNOWN), hops("6.6.6.6", *["10.0.0.1"] * 1000), "10.0.0.1"),
        (ForwardedHeaders(proxies=ANYBODY), hops("6.6.6.6", "10.0.0.1"), "10.0.0.1"),
    ],
)
def test_where_clients_are(forwarded: ForwardedHeaders, headers: Mapping[str, str], address: str) -> None:
    assert forwarded.client_key(asked(headers)) == address


def test_a_forged_address_is_kept_in_part_only() -> None:
    """Look-ups are cached by address, so a long address must not fill the memory."""
    assert ForwardedHeaders(proxies=KNOWN).client_address(asked(hops("x" * 5000))) == "x" * 64


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
        (ForwardedHeaders(proxies=ANYBODY), DIRECT, False),
        (ForwardedHeaders(proxies=KNOWN), DIRECT, False),
        (ForwardedHeaders(proxies=OTHERS), DIRECT, False),
        (ForwardedHeaders(), DIRECT | {"X-Forwarded-Host": "127.0.0.1"}, False),
        (ForwardedHeaders(), DIRECT | {"X-Forwarded-Prefix": "/a"}, False),
        (ForwardedHeaders("https://there.example"), DIRECT, False),
    ],
)
def test_what_a_program_on_the_machine_sends_itself(
    forwarded: ForwardedHeaders, headers: Mapping[str, str], direct: bool
) -> None:
    assert forwarded.is_direct(asked(headers)) is direct


@pytest.mark.parametrize(
    ("forwarded", "headers", "own"),
    [
        (ForwardedHeaders(), {}, True),
        (ForwardedHeaders(), {"Origin": "http://mirror.example:5000"}, True),
        (ForwardedHeaders(), {"Origin": "https://mirror.example:5000"}, False),
        (ForwardedHeaders(), {"Origin": "http://mirror.example"}, False),
        (ForwardedHeaders(), {"Origin": "http://mirror.example:5000.evil.example"}, False),
        (ForwardedHeaders(), {"Origin": "null"}, False),
        (ForwardedHeaders(), {"Origin": ""}, False),
        (ForwardedHeaders("https://there.example/r"), {"Origin": "https://there.example"}, True),
        (ForwardedHeaders("https://there.example/r"), {"Origin": "http://mirror.example:5000"}, False),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED | {"Origin": OUTER}, True),
        (ForwardedHeaders(), FORWARDED | {"Origin": OUTER}, False),
    ],
)
def test_pages_of_the_own_site(forwarded: ForwardedHeaders, headers: Mapping[str, str], own: bool) -> None:
    assert forwarded.is_of_own_site(asked({"Host": "mirror.example:5000"} | headers)) is own


@pytest.mark.parametrize(
    ("forwarded", "headers", "path", "left"),
    [
        (ForwardedHeaders(), FORWARDED, "/a/b/v2/", "/a/b/v2/"),
        (ForwardedHeaders(proxies=OTHERS), FORWARDED, "/a/b/v2/", "/a/b/v2/"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED, "/a/b/v2/x", "/a/b/v2/x"),
        (ForwardedHeaders(proxies=KNOWN), FORWARDED, "/token", "/token"),
        (ForwardedHeaders(proxies=ANYBODY), FORWARDED, "/a/b/metrics", "/a/b/metrics"),
        (ForwardedHeaders("https://there.example", ANYBODY), FORWARDED, "/a/b/metrics", "/a/b/metrics"),
        (ForwardedHeaders("https://there.example/r", ANYBODY), FORWARDED, "/r/metrics", "/metrics"),
        (ForwardedHeaders("https://there.example/r"), {}, "/rs/v2/", "/rs/v2/"),
        (ForwardedHeaders("https://there.example/r"), {}, "/r", "/r"),
        (ForwardedHeaders("https://there.example/r"), {}, "/r/v2/", "/v2/"),
        (ForwardedHeaders("https://there.example/r"), {}, "/r/r/v2/", "/r/v2/"),
        (ForwardedHeaders("https://there.example"), {}, "/r/v2/", "/r/v2/"),
    ],
)
def test_a_prefix_that_the_proxy_has_left(
    forwarded: ForwardedHeaders, headers: Mapping[str, str], path: str, left: str
) -> None:
    assert forwarded.without_prefix(asked(headers), path) == left
