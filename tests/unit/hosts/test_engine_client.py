"""The client of engines against a scripted server on a Unix socket, which can be hostile."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from mirror.hosts import engine_connection
from mirror.hosts.engine_address import EngineAddress
from mirror.hosts.engine_api import PullStep, RegistryLogin
from mirror.hosts.engine_client import EngineClient
from mirror.hosts.engine_errors import (
    EngineAccessDenied,
    EngineFault,
    EngineProtocolError,
    EngineRefused,
    EngineUnreachable,
)
from mirror.oci import Digest
from mirror.plugin.config.privileges import Privilege
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.hosts.content import INFO, PLUGIN, VERSION, encoded

NAME = "mirror:5000/acme/driver:1"
PULL = "POST /v1.41/plugins/pull?remote=mirror:5000/acme/driver:1&name=driver:1"
PRIVILEGES = (Privilege("network", "permissions to access a network", ("host",)),)
ASKED = [{"Name": "network", "Description": "permissions to access a network", "Value": ["host"]}]


@asynccontextmanager
async def connected(folder: Path, server: ScriptedServer) -> AsyncIterator[EngineClient]:
    """Start the server with an answer to the first question, and connect."""
    server.on("GET /version", Reply(body=encoded(VERSION)))
    socket = folder / "engine.sock"
    async with server.running(socket=socket), EngineClient.open(EngineAddress(socket)) as client:
        yield client


async def test_questions_use_the_newest_version_of_the_api(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.on("GET /v1.41/info", Reply(body=encoded(INFO)))
    server.on("GET /v1.41/plugins", Reply(body=encoded([PLUGIN])))
    server.on(f"GET /v1.41/plugins/privileges?remote={NAME}", Reply(body=encoded(ASKED)))
    digest = Digest.of(b"")
    descriptor = {"Descriptor": {"digest": str(digest)}}
    server.on(f"GET /v1.41/distribution/{NAME}/json", Reply(body=encoded(descriptor)))
    async with connected(tmp_path, server) as client:
        assert (await client.version()).version == "20.10.24+dfsg1"
        assert (await client.info()).name == "node1"
        assert [plugin.name for plugin in await client.plugins()] == ["acme/driver:1"]
        assert await client.privileges(NAME) == PRIVILEGES
        assert await client.remote_digest(NAME) == digest
    assert server.lines.count("GET /version") == 1


async def test_engines_before_17_06_are_not_asked_for_a_digest(tmp_path: Path) -> None:
    server, socket = ScriptedServer(), tmp_path / "engine.sock"
    server.on("GET /version", Reply(body=encoded(VERSION | {"ApiVersion": "1.29"})))
    async with server.running(socket=socket), EngineClient.open(EngineAddress(socket)) as client:
        assert await client.remote_digest(NAME) is None
    assert server.lines == ["GET /version"]


async def test_changes_are_sent_as_engines_expect_them(tmp_path: Path) -> None:
    server = ScriptedServer()
    root = f"/v1.41/plugins/{NAME}"
    server.on(f"POST {root}/set", Reply(204))
    for line in (
        *(f"POST {root}/enable?timeout=0", f"POST {root}/disable", f"POST {root}/disable?force=1"),
        *(f"DELETE {root}", f"DELETE {root}?force=1"),
    ):
        server.on(line, Reply())
    async with connected(tmp_path, server) as client:
        await client.change_settings(NAME, ["DEBUG=1", "data=/srv"])
        await client.enable(NAME)
        await client.disable(NAME)
        await client.disable(NAME, force=True)
        await client.remove(NAME)
        await client.remove(NAME, force=True)
    changed = server.seen[1]
    assert (changed.headers["Content-Type"], json.loads(changed.body)) == (
        "application/json",
        ["DEBUG=1", "data=/srv"],
    )
    assert len(server.seen) == 7


async def test_a_pull_reports_its_steps(tmp_path: Path) -> None:
    server = ScriptedServer()
    lines = [{"status": "Pulling", "id": "1"}, {"status": "Extracting", "progressDetail": {"current": 1, "total": 2}}]
    body = b"\r\n".join(map(encoded, lines))
    server.on(PULL, Reply(body=body))
    server.on(f"POST /v1.41/plugins/driver:1/upgrade?remote={NAME}", Reply(body=body, length=-1, then="cut"))
    steps: list[PullStep] = []
    login = RegistryLogin("mirror:5000", "anna", "Größe")
    async with connected(tmp_path, server) as client:
        await client.pull(NAME, "driver:1", PRIVILEGES, login=login, progress=steps.append)
        assert steps == [PullStep("1", "Pulling"), PullStep("", "Extracting", 1, 2)]
        await client.upgrade("driver:1", NAME, PRIVILEGES)
    pulled = server.seen[1]
    assert json.loads(pulled.body) == ASKED
    sent = json.loads(base64.urlsafe_b64decode(pulled.headers["X-Registry-Auth"]))
    assert sent == {"username": "anna", "password": "Größe", "serveraddress": "mirror:5000"}
    assert "Größe" not in repr(login)
    assert "X-Registry-Auth" not in server.seen[2].headers


async def test_an_error_within_the_stream_is_an_error(tmp_path: Path) -> None:
    server = ScriptedServer()
    failed = {"errorDetail": {"message": "unexpected\x1b EOF"}, "error": "unexpected EOF"}
    server.on(PULL, Reply(body=encoded({"status": "Pulling"}) + encoded(failed)))
    async with connected(tmp_path, server) as client:
        with pytest.raises(EngineRefused, match=f'engine did not install {NAME}: "unexpected. EOF"$') as told:
            await client.pull(NAME, "driver:1", PRIVILEGES)
    assert (told.value.status, told.value.said) == (200, "unexpected? EOF")


async def test_the_message_of_the_engine_is_passed_on(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.on("POST /v1.41/plugins/x/enable?timeout=0", Reply(404, encoded({"message": 'plugin "x" not found'})))
    server.on("GET /v1.41/info", Reply(301, b"<html>moved</html>", {"Location": "http://elsewhere/"}))
    async with connected(tmp_path, server) as client:
        with pytest.raises(EngineRefused, match='did not enable x: "plugin "x" not found"') as told:
            await client.enable("x")
        assert told.value.status == 404
        with pytest.raises(EngineRefused, match="<html>moved</html>"):
            await client.info()


Work = Callable[[EngineClient], Awaitable[object]]
ASK: Work = lambda client: client.plugins()  # noqa: E731 - a name in the table
GET: Work = lambda client: client.pull(NAME, "driver:1", PRIVILEGES, progress=lambda _: None)  # noqa: E731
HOSTILE: dict[str, tuple[Work, Reply, type[EngineFault]]] = {
    "endless": (ASK, Reply(length=-1, then="endless"), EngineProtocolError),
    "huge": (ASK, Reply(body=b"[]", length=2**60, then="endless"), EngineProtocolError),
    "endless error": (ASK, Reply(500, length=-1, then="endless"), EngineProtocolError),
    "not JSON": (ASK, Reply(body=b"plugins"), EngineProtocolError),
    "deep": (ASK, Reply(body=b"[" * 200_000), EngineProtocolError),
    "wrong": (ASK, Reply(body=b'{"a":1}'), EngineProtocolError),
    "cut": (ASK, Reply(body=b"[", length=99, then="cut"), EngineUnreachable),
    "endless line": (GET, Reply(length=-1, then="endless"), EngineProtocolError),
    "endless steps": (GET, Reply(body=encoded({"status": "x" * 999}) * 9999, length=2**60), EngineProtocolError),
    "text": (GET, Reply(body=b"Pulling\n"), EngineProtocolError),
    "list": (GET, Reply(body=b"[]\n"), EngineProtocolError),
    "half a pull": (GET, Reply(body=encoded({"status": "x"}), length=99, then="cut"), EngineUnreachable),
    "compressed": (ASK, Reply(body=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}), EngineProtocolError),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_answer_is_an_error_within_limits(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, reply, fault = HOSTILE[case]
    monkeypatch.setattr(engine_connection, "MAX_ANSWER_BYTES", 2**20)
    monkeypatch.setattr(engine_connection, "MAX_STREAM_BYTES", 2**20)
    server = ScriptedServer()
    server.on("GET /v1.41/plugins", reply)
    server.on(PULL, reply)
    async with connected(tmp_path, server) as client:
        with pytest.raises(fault):
            await work(client)
    assert server.sent_bytes < 2**25


async def test_an_engine_that_answers_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_connection, "_ANSWER_SECONDS", 0.1)
    server = ScriptedServer()
    server.on("GET /v1.41/plugins", Reply(body=b"[", length=9, then="drip"))
    socket = tmp_path / "engine.sock"
    server.on("GET /version", Reply(body=encoded(VERSION)))
    async with server.running(socket=socket), EngineClient.open(EngineAddress(socket)) as client:
        with pytest.raises(EngineUnreachable, match="gave no answer"):
            await client.plugins()


@pytest.mark.parametrize(
    ("version", "fault", "told"),
    [
        (VERSION | {"ApiVersion": "1.24", "Version": "1.12"}, EngineRefused, "has no managed plugins; fix: upgrade"),
        (VERSION | {"ApiVersion": "1.41/../x"}, EngineProtocolError, "is not the version of an API"),
        ({"hello": "world"}, EngineProtocolError, "names no version"),
    ],
)
async def test_other_programs_and_old_engines_are_told_apart(
    version: object, fault: type[EngineFault], told: str, tmp_path: Path
) -> None:
    server, socket = ScriptedServer(), tmp_path / "engine.sock"
    server.on("GET /version", Reply(body=encoded(version)))
    async with server.running(socket=socket):
        with pytest.raises(fault, match=told):
            async with EngineClient.open(EngineAddress(socket)):
                pass


async def test_an_engine_over_tcp_is_reached_or_named(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.on("GET /version", Reply(body=encoded(VERSION)))
    async with server.running():
        address = EngineAddress(None, "127.0.0.1", server.port)
        async with EngineClient.open(address) as client:
            assert (await client.version()).architecture == "amd64"
    for nobody in (address, EngineAddress(tmp_path / "engine.sock")):
        with pytest.raises(EngineUnreachable, match=r"no Docker Engine can be reached at .*; fix: start"):
            async with EngineClient.open(nobody):
                pass


async def test_an_engine_with_tls_must_have_a_certificate_of_the_folder(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client = authority.issue_cert("client")
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for signed_by in (authority, other):
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(tls)
        signed_by.issue_cert("127.0.0.1").configure_cert(tls)
        server = ScriptedServer()
        server.on("GET /version", Reply(body=encoded(VERSION)))
        async with server.running(tls=tls):
            address = EngineAddress(None, "127.0.0.1", server.port, tmp_path)
            if signed_by is authority:
                async with EngineClient.open(address) as engine:
                    assert (await engine.version()).api_version == "1.41"
            else:
                with pytest.raises(EngineUnreachable, match=r"TLS failed: .*; fix: set DOCKER_CERT_PATH"):
                    async with EngineClient.open(address):
                        pass


async def test_a_socket_that_is_not_for_this_user_is_told_from_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # root may open every socket, and tests run as root.
    monkeypatch.setattr(asyncio.get_running_loop(), "create_unix_connection", refuse)
    with pytest.raises(EngineAccessDenied, match="members of group docker only; fix: run this command as root"):
        async with EngineClient.open(EngineAddress(tmp_path / "engine.sock")):
            pass
