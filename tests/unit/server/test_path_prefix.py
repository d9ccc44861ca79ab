"""A server below a path: what it answers behind proxies that strip the path, and behind those that do not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mirror.oci import Repository, Tag
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.registry.memory import MemoryRegistry
from mirror.server.forwarded import NO_PROXIES, ForwardedHeaders, TrustedProxies
from tests.support.served import LAYER, MANIFEST, REPOSITORY, digest, manifest_bytes, put_plugin, served

LOOPBACK = TrustedProxies((ip_network("127.0.0.0/8"),))
ELSEWHERE = TrustedProxies((ip_network("192.0.2.0/24"),))
URL = ForwardedHeaders("https://plugins.example/registry")
OTHER = Repository("contiv/z")
PREFIX = ("X-Forwarded-Prefix", "/registry")


@pytest.mark.parametrize(
    ("forwarded", "sent_below", "headers", "prefix"),
    [
        pytest.param(ForwardedHeaders(), "", [], "", id="direct"),
        pytest.param(ForwardedHeaders(), "", [PREFIX], "", id="header of nobody"),
        pytest.param(ForwardedHeaders(proxies=ELSEWHERE), "", [PREFIX], "", id="header of a stranger"),
        pytest.param(ForwardedHeaders(proxies=LOOPBACK), "", [], "", id="proxy at the root"),
        pytest.param(ForwardedHeaders(proxies=LOOPBACK), "", [PREFIX], "/registry", id="stripped, with header"),
        pytest.param(URL, "", [], "/registry", id="stripped, with url"),
        pytest.param(URL, "/registry", [], "/registry", id="left, with url"),
    ],
)
async def test_every_address_in_an_answer_begins_with_the_prefix(
    forwarded: ForwardedHeaders, sent_below: str, headers: list[tuple[str, str]], prefix: str
) -> None:
    registry = MemoryRegistry()
    await put_plugin(registry)
    await put_plugin(registry, OTHER, Tag("2.0"))
    await registry.put_manifest(REPOSITORY, await registry.get_manifest(REPOSITORY, Tag("1.0")), [Tag("2.0")])

    async with served(registry, forwarded=forwarded) as server:
        base = f"{sent_below}/v2/{REPOSITORY}"

        async def location(method: str, target: str, status: int, body: bytes = b"", *more: tuple[str, str]) -> str:
            answer = await server.ask(method, target, [*headers, *more], body)
            assert answer.status == status
            found = str(answer.headers["Location"])
            assert found.startswith(f"{prefix}/v2/{REPOSITORY}/")
            return sent_below + found.removeprefix(prefix)  # as the proxy passes it on

        async def link(target: str) -> str:
            answer = await server.ask("GET", target, headers)
            assert answer.status == 200
            return str(answer.headers["Link"])

        begun = await location("POST", f"{base}/blobs/uploads/", 202)
        assert await location("PATCH", begun, 202, b"content") == begun
        assert await location("GET", begun, 204) == begun
        stored = await location("PUT", f"{begun}?digest={digest(b'content')}", 201)
        assert (await server.ask("HEAD", stored, headers)).headers["Content-Length"] == "7"
        await location("POST", f"{base}/blobs/uploads/?digest={digest(b'x')}", 201, b"x")
        await location("POST", f"{base}/blobs/uploads/?mount={digest(LAYER)}&from={OTHER}", 201)
        subject = {"mediaType": DOCKER_MANIFEST, "digest": digest(MANIFEST), "size": len(MANIFEST)}
        for tag in ("3.0", "4.0"):
            referrer = manifest_bytes(subject=subject, annotations={"tag": tag})
            put = await location("PUT", f"{base}/manifests/{tag}", 201, referrer, ("Content-Type", DOCKER_MANIFEST))
            assert (await server.ask("GET", put, headers)).body == referrer
        assert await link(f"{base}/tags/list?n=1") == f'<{prefix}/v2/{REPOSITORY}/tags/list?n=1&last=1.0>; rel="next"'
        assert (
            await link(f"{sent_below}/v2/_catalog?n=1") == f'<{prefix}/v2/_catalog?n=1&last={REPOSITORY}>; rel="next"'
        )
        referrers = f"/v2/{REPOSITORY}/referrers/{digest(MANIFEST)}?n=1&last=sha256:"
        assert (await link(f"{base}/referrers/{digest(MANIFEST)}?n=1")).startswith(f"<{prefix}{referrers}")
        assert (await server.ask("GET", f"{sent_below}/healthz", headers)).status == 200


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example",
        "https://evil.example",
        "/a/../b",
        "/a b",
        '/a"',
        "/a>",
        "/%2e",
        "/v2",
        "registry",
        "/" + "a" * 300,
    ],
)
async def test_a_prefix_that_is_no_plain_path_is_ignored(prefix: str) -> None:
    async with served(forwarded=ForwardedHeaders(proxies=LOOPBACK)) as server:
        answer = await server.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/", [("X-Forwarded-Prefix", prefix)])
        assert answer.headers["Location"].startswith("/v2/")


@pytest.mark.parametrize("proxies", [NO_PROXIES, ELSEWHERE, LOOPBACK, TrustedProxies(everyone=True)])
async def test_a_header_takes_no_path_off(proxies: TrustedProxies) -> None:
    """A proxy may pass on the header of its client, which must not reach a path that the proxy blocks."""
    async with served(forwarded=ForwardedHeaders(proxies=proxies)) as server:
        answer = await server.ask("GET", "/registry/v2/", [PREFIX])
        assert (answer.status, answer.code) == (404, "UNSUPPORTED")


@pytest.mark.parametrize(("proxies", "counted"), [(ELSEWHERE, 1), (LOOPBACK, 0)])
async def test_connections_of_proxies_alone_are_counted_for_nobody(proxies: TrustedProxies, counted: int) -> None:
    async with served(forwarded=ForwardedHeaders(proxies=proxies)) as server, server.connect() as connection:
        await connection.send("GET", "/v2/")
        assert (await connection.receive()).status == 200
        assert server.activity.connections._served._by_client["127.0.0.1"] == counted
