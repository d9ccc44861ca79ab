"""Nothing is received, parsed or looked up for a caller without the right to ask."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from mirror.access.rights import AccessAction
from mirror.filters.authorize import AnonymousRights, Authorize
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.registry.memory import MemoryRegistry
from mirror.server.http.client_connection import MOST_DRAINED_BYTES
from tests.support.served import LAYER, MANIFEST, REPOSITORY, Served, digest, put_plugin, served
from tests.support.waiting import until

BLOBS = f"/v2/{REPOSITORY}/blobs"
WRITES = [
    ("PUT", f"/v2/{REPOSITORY}/manifests/1.0"),
    ("PUT", f"/v2/{REPOSITORY}/manifests/{digest(MANIFEST)}"),
    ("POST", f"{BLOBS}/uploads/"),
    ("POST", f"{BLOBS}/uploads/?digest={digest(LAYER)}"),
    ("POST", f"{BLOBS}/uploads/?mount={digest(LAYER)}&from=other"),
    ("PATCH", f"{BLOBS}/uploads/{'0' * 32}"),
    ("PUT", f"{BLOBS}/uploads/{'0' * 32}?digest={digest(LAYER)}"),
    ("PUT", f"{BLOBS}/uploads/{'0' * 32}"),
    ("DELETE", f"{BLOBS}/uploads/{'0' * 32}"),
    ("DELETE", f"{BLOBS}/{digest(LAYER)}"),
    ("DELETE", f"/v2/{REPOSITORY}/manifests/1.0"),
]
READS = [
    ("GET", f"/v2/{REPOSITORY}/manifests/1.0"),
    ("HEAD", f"/v2/{REPOSITORY}/manifests/1.0"),
    ("GET", f"{BLOBS}/{digest(LAYER)}"),
    ("GET", f"/v2/{REPOSITORY}/tags/list"),
    ("GET", f"/v2/{REPOSITORY}/referrers/{digest(MANIFEST)}"),
]


class Untouchable(MemoryRegistry):
    """A registry that fails the test at any call."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked for")


def closed(*allowed: AccessAction) -> Authorize:
    return Authorize(Untouchable(), AnonymousRights(frozenset(allowed)))


@pytest.mark.parametrize(("method", "target"), WRITES + READS)
async def test_who_may_not_ask_reaches_nothing(method: str, target: str) -> None:
    async with served(closed()) as server:
        answer = await server.ask(method, target)
    assert answer.status in {403, 405}


@pytest.mark.parametrize(("method", "target"), WRITES)
async def test_who_may_not_send_is_answered_before_the_body(method: str, target: str) -> None:
    """A client that sends ``Expect`` receives the refusal instead of a 100. It sends no body."""
    async with served(closed(AccessAction.PULL)) as server, server.connect() as connection:
        await connection.send(
            method,
            target,
            [("Expect", "100-continue"), ("Content-Type", DOCKER_MANIFEST), ("Content-Length", str(len(MANIFEST)))],
        )
        assert (await connection.receive_head())[0] in {403, 405}


async def test_a_manifest_that_may_not_be_sent_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(*_: object) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr("mirror.oci.manifest.Manifest.parse", parsed)
    async with served(closed(AccessAction.PULL)) as server, server.connect() as connection:
        await connection.send("PUT", WRITES[0][1], [("Content-Type", DOCKER_MANIFEST)], MANIFEST)
        assert (await connection.receive()).status == 403
        await connection.send("GET", "/v2/")  # the server drained the short body, so the connection can be reused
        assert (await connection.receive()).status == 200


async def test_of_a_body_that_may_not_be_sent_a_bounded_part_is_taken() -> None:
    piece = bytes(64 * 1024)
    sent_bytes = 0
    async with served(closed(AccessAction.PULL)) as server, server.connect() as connection:
        await connection.send("PUT", WRITES[0][1], [("Content-Length", str(1024 * MOST_DRAINED_BYTES))])
        assert (await connection.receive()).status == 403
        with suppress(ConnectionError):
            while sent_bytes < 16 * MOST_DRAINED_BYTES:
                connection.writer.write(piece)
                await connection.writer.drain()
                sent_bytes += len(piece)
        assert await no_connections(server)
    assert sent_bytes < 16 * MOST_DRAINED_BYTES


async def test_a_body_that_is_not_wanted_and_does_not_come_holds_nothing_when_its_client_leaves() -> None:
    async with served(closed(AccessAction.PULL)) as server:
        async with server.connect() as connection:
            await connection.send("PUT", WRITES[0][1], [("Content-Length", "1000")])
            assert (await connection.receive()).status == 403
        assert await no_connections(server)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def no_connections(server: Served) -> bool:
    await until(lambda: not server.activity.connections.count)
    return True


async def test_a_mount_from_what_may_not_be_read_asks_nothing_of_it() -> None:
    registry = MemoryRegistry()
    await put_plugin(registry)

    async with served(Authorize(registry, AnonymousRights(frozenset({AccessAction.PUSH})))) as server:
        answer = await server.ask("POST", f"/v2/other/blobs/uploads/?mount={digest(LAYER)}&from={REPOSITORY}")
    assert answer.status == 202
