"""Pull-through over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from mirror.oci import Digest
from mirror.oci.errors import UpstreamUnreachable
from mirror.server.http_application import build
from mirror.server.http_server import Listener, listen, serving
from mirror.store.registry import Store
from tests.support.pull_through import NAME, Plugin, World, pull, pulling


@asynccontextmanager
async def served(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    listener = listen("127.0.0.1", 0)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(build(world.registry), Listener(listener)), aiohttp.ClientSession(base) as client:
        yield client


async def test_what_cannot_be_confirmed_comes_with_a_warning_and_its_age(world: World) -> None:
    wanted = await Plugin.make().at(world.hub)
    await pull(world)
    path = f"/v2/{NAME}/manifests/latest"
    async with served(world) as client:
        for method in ("HEAD", "GET"):
            async with client.request(method, path) as answer:
                assert (answer.status, "Warning" in answer.headers, "Age" in answer.headers) == (200, False, False)
        world.clock.advance(minutes=6)
        world.hub.failure = UpstreamUnreachable('upstream hub: "it" is\ngone')
        for method in ("HEAD", "GET"):
            async with client.request(method, path) as answer:
                assert answer.status == 200
                assert answer.headers["Docker-Content-Digest"] == str(wanted.manifest.digest)
                assert answer.headers["Age"] == "360"
                assert answer.headers["Warning"].startswith('110 - "Response is stale: ')
                assert answer.headers["Warning"].isprintable()
        async with client.get(f"/v2/{NAME}/manifests/{wanted.manifest.digest}") as answer:
            assert "Warning" not in answer.headers


async def test_bytes_arrive_while_the_rest_is_on_its_way(world: World) -> None:
    wanted = await Plugin.make().at(world.hub)
    await world.registry.get_manifest(NAME, wanted.manifest.digest)
    digest = wanted.manifest.layers[0].digest
    world.hub.limit = 100_000
    async with served(world) as client, client.get(f"/v2/{NAME}/blobs/{digest}") as answer:
        assert answer.content_length == len(wanted.layer)
        begun = await answer.content.readexactly(100_000)
        world.hub.limit = None
        assert begun + await answer.content.read() == wanted.layer


async def test_wrong_bytes_break_the_connection(world: World) -> None:
    wanted = await Plugin.make().at(world.hub)
    layer = wanted.manifest.layers[0]
    world.hub.instead[layer.digest] = b"#" * layer.size_bytes
    await world.registry.get_manifest(NAME, wanted.manifest.digest)
    world.hub.limit = 100_000
    async with served(world) as client, client.get(f"/v2/{NAME}/blobs/{layer.digest}") as answer:
        # A failure before the first byte becomes an error answer.
        got = bytearray(await answer.content.readexactly(100_000))
        world.hub.limit = None
        try:
            async for chunk in answer.content.iter_any():
                got += chunk
        except aiohttp.ClientPayloadError:
            broken = True
        else:
            broken = False
    assert broken
    assert len(got) < layer.size_bytes


async def test_a_client_that_leaves_does_not_end_what_others_wait_for(store: Store) -> None:
    async with pulling(store, finish=False) as world:
        wanted = await Plugin.make(layer_bytes=3_000_000).at(world.hub)
        await world.registry.get_manifest(NAME, wanted.manifest.digest)
        path = f"/v2/{NAME}/blobs/{wanted.manifest.layers[0].digest}"
        world.hub.limit = 200_000
        async with served(world) as client:
            async with client.get(path) as leaving, client.get(path) as staying:
                await leaving.content.readexactly(1000)
                leaving.close()
                world.hub.limit = None
                assert Digest.of(await staying.read()) == wanted.manifest.layers[0].digest
            await world.idle()
        assert world.hub.sent_bytes == len(wanted.layer)
