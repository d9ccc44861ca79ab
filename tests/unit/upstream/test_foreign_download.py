"""Foreign layers from the servers that their URLs name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.oci.media_types import DOCKER_LAYER_FOREIGN, DOCKER_MANIFEST, OCI_IMAGE_CONFIG
from mirror.records.absent_content import AbsenceReason
from mirror.store.registry import Store
from mirror.transfer.copy_engine import Copied, copy_graph
from mirror.transfer.graph.content_choice import ContentChoice, ForeignLayers
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.ranges import RangeRequest
from tests.support.builders import described
from tests.support.scripted_server import Reply, ScriptedServer

NAME, HERE, TAG = Repository("library/windows"), Repository("windows"), Tag("1")
CONFIG, LAYER = b"config", b"layer of windows" * 1000
BLOB = f"/v2/{NAME}/blobs/{Digest.of(LAYER)}"


@pytest.fixture
async def elsewhere() -> AsyncIterator[ScriptedServer]:
    """The server that the URL of the layer names."""
    async with ScriptedServer().running() as server:
        server.on("GET /layer", Reply(200, LAYER))
        yield server


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened


class Site:
    """An upstream whose manifest names the layer at another server, and a copy of it."""

    def __init__(self, server: ScriptedServer, upstream: UpstreamRegistry, store: Store, url: str) -> None:
        self._upstream, self._store = upstream, store
        foreign = described(DOCKER_LAYER_FOREIGN, LAYER).to_json() | {"urls": [url]}
        config = described(OCI_IMAGE_CONFIG, CONFIG).to_json()
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": [foreign]}
        ).encode()
        server.on(f"GET /v2/{NAME}/manifests/1", Reply(200, manifest, {"Content-Type": DOCKER_MANIFEST}))
        server.on(f"GET /v2/{NAME}/blobs/{Digest.of(CONFIG)}", Reply(200, CONFIG))
        for method in ("HEAD", "GET"):
            server.on(f"{method} {BLOB}", Reply(404))

    async def copied(self, *hosts: str, setting: ForeignLayers = ForeignLayers.URLS) -> Copied:
        place = CopyDestination(self._store, HERE, absent=self._store.records.absent)
        choice = ContentChoice(None, setting, hosts)
        source = CopySource(self._upstream, NAME)
        return await copy_graph(source, TAG, place, [TAG], SilentProgress(), choice=choice)

    async def layer(self) -> bytes:
        async with self._store.open_blob(HERE, Digest.of(LAYER)) as blob:
            return b"".join([chunk async for chunk in blob])


@pytest.fixture
def site(server: ScriptedServer, upstream: UpstreamRegistry, store: Store, elsewhere: ScriptedServer) -> Site:
    return Site(server, upstream, store, f"{elsewhere.url}/layer")


async def test_an_allowed_host_is_asked_without_credentials(site: Site, elsewhere: ScriptedServer) -> None:
    copied = await site.copied(elsewhere.url)
    assert (copied.absent, await site.layer()) == ((), LAYER)
    (request,) = elsewhere.seen
    assert "authorization" not in {name.lower() for name in request.headers}


async def test_a_layer_that_the_upstream_has_comes_from_there(
    site: Site, server: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    server.on(f"HEAD {BLOB}", Reply(200, headers={"Content-Length": str(len(LAYER))}, length=-1))
    server.on(f"GET {BLOB}", Reply(200, LAYER))
    await site.copied(elsewhere.url)
    assert (elsewhere.lines, await site.layer()) == ([], LAYER)


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1", "https://127.0.0.1"])
async def test_a_host_that_is_not_listed_is_not_asked(site: Site, elsewhere: ScriptedServer, host: str) -> None:
    (absent,) = (await site.copied(host)).absent
    assert (absent.reason, absent.detail) == (AbsenceReason.FOREIGN, f"urls of {host}")
    assert elsewhere.connections == 0


@pytest.mark.parametrize("setting", [ForeignLayers.UPSTREAM, ForeignLayers.LEAVE])
async def test_other_settings_ask_no_other_server(
    site: Site, elsewhere: ScriptedServer, setting: ForeignLayers
) -> None:
    (absent,) = (await site.copied(setting=setting)).absent
    assert (absent.detail, elsewhere.connections) == (setting.value, 0)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(404), "it answered 404"),
        (Reply(200, LAYER[:-1]), "ends after"),
        (Reply(200, LAYER + b"x"), "is longer than"),
        (Reply(200, b"x" * len(LAYER)), "has digest"),
        (Reply(302, headers={"Location": "http://169.254.169.254/latest"}), "a link-local address"),
        (Reply(302, headers={"Location": "/layer"}), "redirected too often"),
        (Reply(200, LAYER[:100], length=len(LAYER), then="cut"), "broke off"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_server_that_fails_is_a_warning(
    site: Site, elsewhere: ScriptedServer, store: Store, reply: Reply, why: str
) -> None:
    elsewhere.on("GET /layer", reply)
    (absent,) = (await site.copied(elsewhere.url)).absent
    assert why in absent.detail
    assert (await store.get_manifest(HERE, TAG)).foreign_layers[0].digest == absent.digest


async def test_redirects_are_followed(site: Site, elsewhere: ScriptedServer) -> None:
    elsewhere.on("GET /layer", Reply(307, headers={"Location": "/elsewhere?signed=%2F"}))
    elsewhere.on("GET /elsewhere?signed=%2F", Reply(200, LAYER))
    assert ((await site.copied(elsewhere.url)).absent, await site.layer()) == ((), LAYER)


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_part(upstream: UpstreamRegistry, elsewhere: ScriptedServer, ranges: bool) -> None:
    if ranges:
        place = {"Content-Range": f"bytes 5000-{len(LAYER) - 1}/{len(LAYER)}"}
        elsewhere.on("GET /layer", Reply(206, LAYER[5000:], place))
    layer = described(DOCKER_LAYER_FOREIGN, LAYER)
    async with upstream.open_url(f"{elsewhere.url}/layer", layer, RangeRequest(5000, None)) as blob:
        assert b"".join([chunk async for chunk in blob]) == LAYER[5000:]
    assert elsewhere.seen[0].headers["Range"] == "bytes=5000-"
