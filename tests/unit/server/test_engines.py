"""Requests that both generations of engines send, one by one, and the parts of the answers that engines need.

Sources: moby v1.13.1 and v19.03.15 ``distribution/{push,pull}_v2.go`` with docker/distribution's client; moby
v20.10.24 to v28.5.2 ``plugin/`` with containerd's ``remotes/docker``.
"""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from mirror.oci.media_types import (
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    DOCKER_PLUGIN_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)
from tests.support.served import CONFIG, LAYER, MANIFEST, REPOSITORY, Answer, Served, digest

BASE = f"/v2/{REPOSITORY}"
LEGACY_AGENT = (
    "User-Agent",
    "docker/1.13.1 go/go1.7.5 kernel/4.9 os/linux arch/amd64 UpstreamClient(Docker-Client/1.13.1 \\(linux\\))",
)
AGENT = (
    "User-Agent",
    "docker/20.10.24 go/go1.19 kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/20.10.24 \\(linux\\))",
)
PIECE = 32 * 1024


def in_pieces(content: bytes) -> list[bytes]:
    return [content[start : start + PIECE] for start in range(0, len(content), PIECE)]


class Legacy:
    """A client like engines 1.13 to 19.03: one connection for each request, and a ping first."""

    def __init__(self, server: Served) -> None:
        self.server = server

    async def ask(self, method: str, target: str, *headers: tuple[str, str], body: bytes | list[bytes] = b"") -> Answer:
        return await self.server.ask(method, target, [LEGACY_AGENT, *headers], body)

    async def ping(self) -> None:
        answer = await self.ask("GET", "/v2/")
        assert (answer.status, answer.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")

    async def upload(self, content: bytes, *patch_headers: tuple[str, str]) -> int:
        """Push a blob. Returns its size, as the engine writes it into the manifest."""
        begun = await self.ask("POST", f"{BASE}/blobs/uploads/", ("Content-Length", "0"), ("Content-Type", ""))
        assert begun.status == 202  # 201 would be a mount
        assert begun.headers["Docker-Upload-UUID"]
        assert begun.headers["Location"].startswith("/v2/")
        patched = await self.ask("PATCH", begun.headers["Location"], *patch_headers, body=in_pieces(content))
        assert 200 <= patched.status < 400
        start, _, end = patched.headers["Range"].partition("-")
        assert start == "0"
        closed = await self.ask(
            "PUT", f"{patched.headers['Location']}?digest={digest(content)}", ("Content-Length", "0")
        )
        assert 200 <= closed.status < 400
        looked_up = await self.ask("HEAD", f"{BASE}/blobs/{digest(content)}")
        assert (looked_up.status, looked_up.headers["Content-Length"]) == (200, str(len(content)))
        return int(end) + 1

    async def manifest(self, target: str) -> Answer:
        accepted = [
            DOCKER_MANIFEST,
            DOCKER_MANIFEST_LIST,
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "application/json",
            OCI_MANIFEST,
            OCI_INDEX,
        ]
        random.Random(7).shuffle(accepted)
        return await self.ask("GET", f"{BASE}/manifests/{target}", *(("Accept", each) for each in accepted))


async def test_a_legacy_engine_pushes(empty: Served) -> None:
    engine = Legacy(empty)
    await engine.ping()
    assert await engine.upload(LAYER) == len(LAYER)
    unknown = await engine.ask("HEAD", f"{BASE}/blobs/{digest(CONFIG)}")
    assert unknown.status == 404
    assert await engine.upload(CONFIG) == len(CONFIG)
    answer = await engine.ask("PUT", f"{BASE}/manifests/1.0", ("Content-Type", DOCKER_MANIFEST), body=MANIFEST)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest(MANIFEST))


async def test_a_legacy_engine_pushes_again(filled: Served) -> None:
    engine = Legacy(filled)
    await engine.ping()
    assert await engine.upload(LAYER) == len(LAYER)  # old engines push a layer without a HEAD first
    known = await engine.ask("HEAD", f"{BASE}/blobs/{digest(CONFIG)}")
    assert (known.status, known.headers["Content-Length"]) == (200, str(len(CONFIG)))
    answer = await engine.ask("PUT", f"{BASE}/manifests/1.0", ("Content-Type", DOCKER_MANIFEST), body=MANIFEST)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest(MANIFEST))


async def test_a_legacy_engine_pushes_three_layers_at_once(empty: Served) -> None:
    engine = Legacy(empty)
    layers = [LAYER[at:] for at in range(3)]
    sizes = await asyncio.gather(*(engine.upload(layer) for layer in layers))
    assert sizes == [len(layer) for layer in layers]


@pytest.mark.parametrize("size_bytes", [1, 2, PIECE - 1, PIECE, PIECE + 1, len(LAYER)])
@pytest.mark.parametrize("headers", [[], [("Content-Type", "")]], ids=["no type", "empty type"])
async def test_a_legacy_engine_learns_the_size_of_a_layer_from_the_range(
    empty: Served, headers: list[tuple[str, str]], size_bytes: int
) -> None:
    assert await Legacy(empty).upload(LAYER[:size_bytes], *headers) == size_bytes


async def test_a_legacy_engine_pulls_by_digest(filled: Served) -> None:
    answer = await Legacy(filled).manifest(digest(MANIFEST))
    assert (answer.status, answer.body) == (200, MANIFEST)


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST_LIST, OCI_INDEX])
async def test_a_legacy_engine_picks_its_own_from_a_list(filled: Served, media_type: str) -> None:
    platform = {"os": "linux", "architecture": "amd64"}
    member = {"mediaType": DOCKER_MANIFEST, "size": len(MANIFEST), "digest": digest(MANIFEST), "platform": platform}
    listed = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [member]}).encode()
    engine = Legacy(filled)
    pushed = await engine.ask("PUT", f"{BASE}/manifests/all", ("Content-Type", media_type), body=listed)
    assert pushed.status == 201
    answer = await engine.manifest("all")
    assert (answer.headers["Content-Type"], answer.body) == (media_type, listed)
    picked = json.loads(answer.body)["manifests"][0]["digest"]
    assert (await engine.manifest(picked)).body == MANIFEST


async def test_a_legacy_engine_installs(filled: Served) -> None:
    engine = Legacy(filled)
    for layers in ([], [LAYER]):
        await engine.ping()
        answer = await engine.manifest("1.0")
        assert (answer.status, answer.headers.get_all("Content-Type"), answer.body) == (
            200,
            [DOCKER_MANIFEST],
            MANIFEST,
        )
        for content in (CONFIG, *layers):
            blob = await engine.ask("GET", f"{BASE}/blobs/{digest(content)}", ("Accept-Encoding", "identity"))
            assert (blob.status, blob.body, blob.headers["Content-Encoding"]) == (200, content, None)


async def test_a_legacy_engine_finds_nothing(filled: Served) -> None:
    engine = Legacy(filled)
    answer = await engine.manifest("9.9")
    error = answer.json["errors"][0]
    assert (answer.status, error["code"]) == (404, "MANIFEST_UNKNOWN")
    assert error["message"] != "manifest unknown"
    assert error["detail"]
    for path in ("/v1/_ping", f"/v1/repositories/{REPOSITORY}/images"):
        assert (await engine.ask("GET", path)).status == 404


_MEMBERS = json.loads(MANIFEST)
_MEMBERS["mediaType"] = _MEMBERS.pop("mediaType")  # to the end
COMPACT = json.dumps(_MEMBERS, separators=(",", ":")).encode()


@pytest.mark.parametrize("again", [False, True])
async def test_a_containerd_based_engine_pushes(empty: Served, again: bool) -> None:
    async with empty.connect() as connection:

        async def ask(method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
            await connection.send(method, target, [AGENT, *headers], body)
            return await connection.receive(head=method == "HEAD")

        async def push() -> None:
            for media_type, content in ((DOCKER_PLUGIN_CONFIG, CONFIG), (DOCKER_LAYER_GZIP, LAYER)):
                assert (
                    await ask("HEAD", f"{BASE}/blobs/{digest(content)}", ("Accept", f"{media_type}, */*"))
                ).status == 404
                begun = await ask("POST", f"{BASE}/blobs/uploads/", ("Content-Length", "0"))
                location = begun.headers["Location"]
                assert begun.status == 202
                assert location.startswith("/")
                target = f"{location}{'&' if '?' in location else '?'}digest={digest(content)}"
                stored = await ask("PUT", target, ("Content-Type", "application/octet-stream"), body=content)
                assert (stored.status, stored.headers["Docker-Content-Digest"]) == (201, digest(content))
            looked_up = await ask("HEAD", f"{BASE}/manifests/1.0", ("Accept", f"{DOCKER_MANIFEST}, */*"))
            assert looked_up.status == 404
            stored = await ask("PUT", f"{BASE}/manifests/1.0", ("Content-Type", DOCKER_MANIFEST), body=COMPACT)
            assert (stored.status, stored.headers["Docker-Content-Digest"]) == (201, digest(COMPACT))

        await push()
        if again:
            for content in (CONFIG, LAYER):
                assert (await ask("HEAD", f"{BASE}/blobs/{digest(content)}")).status == 200
            looked_up = await ask("HEAD", f"{BASE}/manifests/1.0", ("Accept", f"{DOCKER_MANIFEST}, */*"))
            assert (looked_up.status, looked_up.headers["Docker-Content-Digest"]) == (200, digest(COMPACT))


@pytest.mark.parametrize(
    "encoding", [("Accept-Encoding", "gzip"), ("Accept-Encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5")]
)
@pytest.mark.parametrize("query", ["", "?ns=docker.io"])
async def test_a_containerd_based_engine_installs(filled: Served, query: str, encoding: tuple[str, str]) -> None:
    async with filled.connect() as connection:

        async def ask(method: str, path: str, *headers: tuple[str, str]) -> Answer:
            await connection.send(method, f"{BASE}{path}{query}", [AGENT, *headers])
            answer = await connection.receive(head=method == "HEAD")
            assert answer.headers["Content-Encoding"] is None
            return answer

        async def resolve() -> None:
            accepted = ", ".join([DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX, "*/*"])
            answer = await ask("HEAD", "/manifests/1.0", ("Accept", accepted))
            assert answer.status == 200
            assert answer.headers["Content-Type"] == DOCKER_MANIFEST
            assert answer.headers["Docker-Content-Digest"] == digest(MANIFEST)
            assert answer.headers["Content-Length"] == str(len(MANIFEST))

        await resolve()
        manifest = await ask("GET", f"/manifests/{digest(MANIFEST)}", ("Accept", f"{DOCKER_MANIFEST}, */*"), encoding)
        assert (manifest.status, manifest.body) == (200, MANIFEST)
        config = await ask("GET", f"/blobs/{digest(CONFIG)}", ("Accept", f"{DOCKER_PLUGIN_CONFIG}, */*"), encoding)
        assert (config.status, config.body) == (200, CONFIG)
        await resolve()
        layer = await ask("GET", f"/blobs/{digest(LAYER)}", ("Accept", f"{DOCKER_LAYER_GZIP}, */*"), encoding)
        assert (layer.status, layer.body) == (200, LAYER)


async def test_a_containerd_based_engine_pushes_config_and_layer_at_once(empty: Served) -> None:
    async def push(media_type: str, content: bytes) -> None:
        async with empty.connect() as connection:
            await connection.send("HEAD", f"{BASE}/blobs/{digest(content)}", [AGENT, ("Accept", f"{media_type}, */*")])
            assert (await connection.receive(head=True)).status == 404
            await connection.send("POST", f"{BASE}/blobs/uploads/", [AGENT, ("Content-Length", "0")])
            location = (await connection.receive()).headers["Location"]
            target = f"{location}?digest={digest(content)}"
            await connection.send("PUT", target, [AGENT, ("Content-Type", "application/octet-stream")], content)
            assert (await connection.receive()).headers["Docker-Content-Digest"] == digest(content)
            await connection.send("HEAD", f"{BASE}/blobs/{digest(content)}", [AGENT])
            assert (await connection.receive(head=True)).status == 200  # at once

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(push(DOCKER_PLUGIN_CONFIG, CONFIG))
        tasks.create_task(push(DOCKER_LAYER_GZIP, LAYER))


async def test_a_containerd_based_engine_moves_a_tag(filled: Served) -> None:
    looked_up = await filled.ask("HEAD", f"{BASE}/manifests/1.0", [AGENT, ("Accept", f"{DOCKER_MANIFEST}, */*")])
    assert (looked_up.status, looked_up.headers["Docker-Content-Digest"]) == (200, digest(MANIFEST))
    headers = [AGENT, ("Content-Type", DOCKER_MANIFEST), ("Baggage", "trigger=api"), ("X-Meta-Team", "storage")]
    stored = await filled.ask("PUT", f"{BASE}/manifests/1.0", headers, COMPACT)
    assert (stored.status, stored.headers["Docker-Content-Digest"]) == (201, digest(COMPACT))
    again = await filled.ask("HEAD", f"{BASE}/manifests/1.0", [AGENT])
    assert again.headers["Docker-Content-Digest"] == digest(COMPACT)


async def test_a_containerd_based_engine_looks_for_a_digest_among_the_manifests_and_then_the_blobs(
    filled: Served,
) -> None:
    for path in (f"manifests/{digest(LAYER)}", f"blobs/{digest(MANIFEST)}"):
        assert (await filled.ask("HEAD", f"{BASE}/{path}", [AGENT, ("Accept", "*/*")])).status == 404
    for path in (f"manifests/{digest(MANIFEST)}", f"blobs/{digest(LAYER)}"):
        answer = await filled.ask("HEAD", f"{BASE}/{path}", [AGENT, ("Accept", "*/*")])
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, path.partition("/")[2])


async def test_a_mirror_that_does_not_have_it_says_404_so_that_the_engine_goes_on_to_the_next_host(
    filled: Served,
) -> None:
    for name in ("library/none", REPOSITORY.name):
        target = f"/v2/{name}/manifests/9.9?ns=docker.io"
        answer = await filled.ask("HEAD", target, [AGENT])
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (404, None)


async def test_a_containerd_based_engine_goes_on_after_the_line_broke(filled: Served) -> None:
    async with filled.connect() as connection:
        await connection.send("GET", f"{BASE}/blobs/{digest(LAYER)}", [AGENT])
        await connection.receive_head()
        begun = await connection.reader.readexactly(1000)
    answer = await filled.ask("GET", f"{BASE}/blobs/{digest(LAYER)}", [AGENT, ("Range", f"bytes={len(begun)}-")])
    assert (answer.status, begun + answer.body) == (206, LAYER)


async def test_a_containerd_based_engine_goes_on_with_an_interrupted_download(filled: Served) -> None:
    answer = await filled.ask("GET", f"{BASE}/blobs/{digest(LAYER)}", [AGENT, ("Range", "bytes=1000-")])
    assert (answer.status, answer.body) == (206, LAYER[1000:])
    assert answer.headers["Content-Range"] == f"bytes 1000-{len(LAYER) - 1}/{len(LAYER)}"


async def test_a_containerd_based_engine_repeats_a_failed_head_with_separate_lines(filled: Served) -> None:
    lines = [("Accept", each) for each in (DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX)]
    assert (await filled.ask("HEAD", f"{BASE}/manifests/9.9", [AGENT, *lines])).status == 404
    assert (await filled.ask("HEAD", f"{BASE}/manifests/1.0", [AGENT, *lines])).status == 200
