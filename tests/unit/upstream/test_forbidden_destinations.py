"""Destinations that upstreams may redirect to: by address, by name, and by a name whose address changes."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from mirror.oci.errors import UpstreamProtocolError
from mirror.upstream.http.forbidden_destinations import DestinationGuard, ForbiddenAddressError, kind_of
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.http.tls_context import Tls
from mirror.upstream.http.upstream_connections import UpstreamConnections
from mirror.upstream.http.upstream_urls import UpstreamUrls
from mirror.upstream.limits.upstream_policy import Timeouts
from tests.support.scripted_server import Reply, ScriptedServer

LOOPBACK, LINK, METADATA, NONE = (
    "a loopback address",
    "a link-local address",
    "a cloud's metadata address",
    "an unspecified, multicast or reserved address",
)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", LOOPBACK),
        ("127.255.0.9", LOOPBACK),
        ("::1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("64:ff9b::7f00:1", LOOPBACK),
        ("2002:7f00:1::", LOOPBACK),
        ("localhost", LOOPBACK),
        ("LocalHost.", LOOPBACK),
        ("a.localhost", LOOPBACK),
        ("169.254.169.254", LINK),
        ("::ffff:169.254.169.254", LINK),
        ("fe80::1", LINK),
        ("fe80::1%eth0", LINK),
        ("fd00:ec2::254", METADATA),
        ("100.100.100.200", METADATA),
        ("168.63.129.16", METADATA),
        ("0.0.0.0", NONE),
        ("::", NONE),
        ("224.0.0.1", NONE),
        ("255.255.255.255", NONE),
        ("10.0.0.1", None),
        ("192.168.1.1", None),
        ("fd12::1", None),
        ("8.8.8.8", None),
        ("2606:4700::1", None),
        ("hub.example", None),
        ("localhost.example", None),
    ],
)
def test_kinds_of_addresses(host: str, kind: str | None) -> None:
    assert kind_of(host) == kind


@pytest.mark.parametrize(
    ("base", "location", "allowed"),
    [
        ("https://hub.example", "https://cdn.example/b", True),
        ("https://hub.example", "https://10.0.0.1/b", True),
        ("https://hub.example", "https://127.0.0.1/b", False),
        ("https://hub.example", "https://localhost:8443/b", False),
        ("https://hub.example", "https://169.254.169.254/latest/meta-data", False),
        ("https://hub.example", "https://[::1]/b", False),
        ("https://hub.example", "https://[fd00:ec2::254]/b", False),
        ("https://hub.example", "https://[::ffff:169.254.169.254]/b", False),
        ("https://127.0.0.1:5000", "https://127.0.0.2/b", True),
        ("https://127.0.0.1:5000", "https://169.254.169.254/b", False),
        ("https://localhost:5000", "https://[::1]:6000/b", True),
        ("https://169.254.1.1", "https://169.254.1.1/other", True),
    ],
)
def test_redirects_to_addresses(base: str, location: str, allowed: bool) -> None:
    addresses = UpstreamUrls("hub", base, plain_http=False)
    if allowed:
        assert str(addresses.follow(addresses.base, location)) == location
    else:
        with pytest.raises(UpstreamProtocolError, match="not followed"):
            addresses.follow(addresses.base, location)


@pytest.mark.parametrize("text", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1"])
async def test_other_spellings_of_an_address_lead_nowhere(text: str) -> None:
    """The guard takes them for names. The HTTP library or the check of the resolved address must stop them."""
    async with opened(UpstreamUrls("hub", "https://hub.example", plain_http=True), None) as connections:
        with pytest.raises((aiohttp.ClientError, ValueError)):
            await connections.request("GET", URL(f"http://{text}:1/"), {}, None, own=False)


class Names(AbstractResolver):
    """A resolver that returns the next of some lists of addresses for any name, and repeats the last list."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


def opened(addresses: UpstreamUrls, names: Names | None) -> AbstractAsyncContextManager[UpstreamConnections]:
    return UpstreamConnections.open(
        timeouts=Timeouts(1, 1), guard=addresses.guard, proxies=Proxies(), tls=Tls(), resolver=names
    )


async def test_a_name_is_judged_by_what_it_resolves_to(server: ScriptedServer) -> None:
    addresses = UpstreamUrls("hub", "http://hub.example", plain_http=True)
    elsewhere = URL(f"http://cdn.example:{server.port}/b")
    assert addresses.follow(addresses.base, str(elsewhere)) == elsewhere
    for answer in (["127.0.0.1"], ["169.254.169.254", "127.0.0.1"]):
        async with opened(addresses, Names(answer)) as connections:
            with pytest.raises(aiohttp.ClientConnectorError) as raised:
                await connections.request("GET", elsewhere, {}, None, own=False)
            assert isinstance(raised.value.os_error, ForbiddenAddressError)
    assert server.connections == 0


async def test_the_upstream_itself_may_be_anywhere(server: ScriptedServer) -> None:
    server.on("GET /b", Reply(200))
    addresses = UpstreamUrls("hub", "http://hub.example", plain_http=True)
    async with opened(addresses, Names(["127.0.0.1"])) as connections:
        response = await connections.request("GET", URL(f"http://hub.example:{server.port}/b"), {}, None, own=True)
        assert response.status == 200
        response.release()


def test_the_socket_is_made_for_the_very_address_that_was_judged() -> None:
    """The name is resolved once only, so a changed address gains nothing."""
    guard = DestinationGuard()
    with pytest.raises(ForbiddenAddressError):
        guard.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with guard.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("203.0.113.1", 80))) as made:
        assert made.fileno() >= 0
