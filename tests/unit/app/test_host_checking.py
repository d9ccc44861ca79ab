"""The command behind `host check`, with a scripted engine and a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.app.hosts.host_checking import HostQuestion, check_reference
from mirror.app.services import open_store
from mirror.hosts.engine_address import EngineAddress
from mirror.oci import Digest, Manifest, Reference, Tag
from mirror.oci.errors import ManifestInvalid
from mirror.settings import Settings, load
from tests.support.builders import push_image
from tests.support.plugins import NAME, TAG, put_plugin
from tests.support.scripted_server import Reply, ScriptedServer

VERSION = b'{"Version": "29.3.1", "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64", "KernelVersion": "other"}'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(None, {"storage": {"path": tmp_path / "data"}})


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    server.on("GET /version", Reply(body=VERSION))
    server.on("GET /v1.41/info", Reply(body=b"{}"))
    server.on("GET /v1.41/plugins", Reply(body=b"null"))
    async with server.running(socket=tmp_path / "engine.sock"):
        yield server


def question(tmp_path: Path, alias: str | None = None) -> HostQuestion:
    return HostQuestion(
        Reference.parse(f"{NAME}:{TAG}"),
        EngineAddress(tmp_path / "engine.sock"),
        None if alias is None else Reference.parse(alias),
        {},
    )


def reads(engine: ScriptedServer, digest: Digest | None) -> None:
    """Let the engine find a digest at the registry of the store, or nothing."""
    line = f"GET /v1.41/distribution/127.0.0.1:5000/{NAME}:{TAG}/json"
    found = b'{"Descriptor": {"digest": "%s"}}' % str(digest).encode()
    engine.on(line, Reply(404, b'{"message": "manifest unknown"}') if digest is None else Reply(body=found))


async def stored(settings: Settings, **members: object) -> Manifest:
    async with open_store(settings) as store:
        return await put_plugin(store, members, tag=Tag("other") if members else TAG)


async def test_the_content_that_the_engine_gets_is_judged(
    settings: Settings, engine: ScriptedServer, tmp_path: Path
) -> None:
    tagged, for_engines = await stored(settings), await stored(settings, Description="for engines")
    for digest, judged in ((tagged.digest, tagged), (for_engines.digest, for_engines), (Digest.of(b"?"), tagged)):
        reads(engine, digest)
        facts, wanted, prediction = await check_reference(settings, question(tmp_path), None)
        assert wanted.digest == judged.digest
        assert (prediction.checks[0].outcome.value == "ok") == (digest == judged.digest)
        assert facts.unseen.startswith("the engine runs on another kernel")


async def test_the_local_name_is_the_alias_or_the_reference(
    settings: Settings, engine: ScriptedServer, tmp_path: Path
) -> None:
    await stored(settings)
    reads(engine, None)
    for alias, name in ((None, f"127.0.0.1:5000/{NAME}:{TAG}"), ("short", "short:latest"), ("a/b:1", "a/b:1")):
        _, wanted, prediction = await check_reference(settings, question(tmp_path, alias), None)
        assert wanted.name == name
        assert prediction.has_problems


async def test_an_image_is_no_plugin(settings: Settings, engine: ScriptedServer, tmp_path: Path) -> None:
    async with open_store(settings) as store:
        await push_image(store, "image", TAG.name, repository=NAME)
    reads(engine, None)
    with pytest.raises(ManifestInvalid, match="is not a plugin: its content is of kind"):
        await check_reference(settings, question(tmp_path), None)
