"""``/ca.crt`` and ``/host-setup.sh``."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import RawTestServer, TestClient

from mirror.access.certificates.host_setup import MirrorAddress, host_setup_script
from mirror.access.certificates.pem_files import certificates_pem, read_certificates
from mirror.oci.errors import ConfigurationFault
from mirror.registry.memory import MemoryRegistry
from mirror.server.api.host_setup_pages import HostSetupPages
from mirror.server.forwarded import ForwardedHeaders, TrustedProxies
from mirror.server.http_application import build
from tests.support.clocks import HandClock
from tests.support.local_ca import client_context, made, server_context

TLS_PORT = 5443


@asynccontextmanager
async def asking(
    ca: Path | None,
    forwarded: ForwardedHeaders | None = None,
    clock: HandClock | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    forwarded = forwarded or ForwardedHeaders()
    pages = HostSetupPages(forwarded, ca, TLS_PORT, clock or HandClock())
    server = RawTestServer(build(MemoryRegistry(), forwarded=forwarded, host_setup=pages).handle)
    await server.start_server(ssl=tls)
    async with TestClient(server) as client:
        yield client


def script(address: str, ca: Path) -> bytes:
    return host_setup_script(MirrorAddress.parse(address), read_certificates(ca))


async def test_the_ca_certificate_is_served_and_nothing_else_of_its_file(tmp_path: Path) -> None:
    files = made(tmp_path).server
    expected = files.ca.read_bytes()
    files.ca.write_bytes(files.ca_key.read_bytes() + expected + b"a note\n")
    async with asking(files.ca) as client:
        answer = await client.get("/ca.crt")
        assert (answer.status, answer.content_type) == (200, "application/x-pem-file")
        assert await answer.read() == expected
        assert answer.headers["Cache-Control"] == "no-store"
        answer = await client.head("/host-setup.sh")
        assert (answer.status, answer.content_type) == (200, "text/x-shellscript")
        answer = await client.post("/ca.crt")
        assert answer.status == 405


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("mirror.example:5443", "mirror.example:5443"),
        ("MIRROR.example:5443", "mirror.example:5443"),
        ("mirror.example", "mirror.example:443"),
        ("[::1]:5443", "[::1]:5443"),
    ],
)
async def test_the_script_is_for_the_address_that_the_client_uses(host: str, address: str, tmp_path: Path) -> None:
    files = made(tmp_path).server
    async with asking(files.ca, tls=server_context(files)) as client:
        trusting = client_context(files.ca)
        answer = await client.get("/host-setup.sh", headers={"Host": host}, ssl=trusting)
        assert await answer.read() == script(address, files.ca)


async def test_without_tls_the_script_is_for_the_port_with_tls(tmp_path: Path) -> None:
    files = made(tmp_path).server
    async with asking(files.ca) as client:
        answer = await client.get("/host-setup.sh", headers={"Host": "mirror.example:5000"})
        assert await answer.read() == script(f"mirror.example:{TLS_PORT}", files.ca)


async def test_the_script_is_for_the_public_url(tmp_path: Path) -> None:
    files = made(tmp_path).server
    async with asking(files.ca, ForwardedHeaders("https://mirror.example/registry")) as client:
        for path in ("/host-setup.sh", "/registry/host-setup.sh"):
            answer = await client.get(path, headers={"Host": "other.example"})
            assert await answer.read() == script("mirror.example", files.ca)


async def test_a_trusted_proxy_names_the_address(tmp_path: Path) -> None:
    files = made(tmp_path).server
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.example:8443", "Host": "inner"}
    async with asking(files.ca, ForwardedHeaders(proxies=TrustedProxies(everyone=True))) as client:
        answer = await client.get("/host-setup.sh", headers=told)
        assert await answer.read() == script("public.example:8443", files.ca)


@pytest.mark.parametrize("host", ["..", "under_score:1", "a..b", "1.2.3", "mirror:0", "mirror:70000"])
async def test_a_host_that_is_no_address_is_refused(host: str, tmp_path: Path) -> None:
    async with asking(made(tmp_path).server.ca) as client:
        answer = await client.get("/host-setup.sh", headers={"Host": host})
        assert answer.status == 400
        assert "the header Host names no address of this server" in (await answer.json())["errors"][0]["message"]


@pytest.mark.parametrize("host", ["$(id)", "a;b", "a'b", "../etc"])
async def test_a_hostile_host_is_replaced_by_the_address_of_the_connection(host: str, tmp_path: Path) -> None:
    files = made(tmp_path).server
    async with asking(files.ca) as client:
        answer = await client.get("/host-setup.sh", headers={"Host": host})
        assert await answer.read() == script(f"127.0.0.1:{TLS_PORT}", files.ca)


@pytest.mark.parametrize("path", ["/ca.crt", "/host-setup.sh"])
async def test_without_a_ca_the_reason_is_told(path: str) -> None:
    async with asking(None) as client:
        answer = await client.get(path)
        assert answer.status == 404
        message = (await answer.json())["errors"][0]["message"]
        assert message == (
            f"{path}: this server offers no CA certificate; fix: the operator of the server sets server.tls.ca"
        )


async def test_a_new_ca_is_served_and_a_broken_file_is_not(tmp_path: Path) -> None:
    files, other, clock = made(tmp_path / "one").server, made(tmp_path / "two").server, HandClock()
    expected = certificates_pem(read_certificates(other.ca))
    async with asking(files.ca, clock=clock) as client:
        other.ca.replace(files.ca)
        clock.advance(seconds=3)
        assert await (await client.get("/ca.crt")).read() == expected
        files.ca.write_bytes(b"half")
        clock.advance(seconds=3)
        assert await (await client.get("/ca.crt")).read() == expected


def test_a_file_without_a_certificate_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"ca\.key has no certificate in PEM format; fix: "):
        HostSetupPages(ForwardedHeaders(), made(tmp_path).server.ca_key, TLS_PORT, HandClock())
