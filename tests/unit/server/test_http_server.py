"""Listening, stopping, TLS, health, access log."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from mirror.oci.errors import CatalogFault, ConfigurationFault, StorageFault
from mirror.registry.memory import MemoryRegistry
from mirror.runtime.system_errors import LocalFault
from mirror.server.http.in_flight import RequestsInFlight
from mirror.server.http.server_limits import ServerLimits
from mirror.server.http_application import build
from mirror.server.http_server import Listener, listen, serving
from mirror.store.storage_threads import in_thread
from tests.support.served import LAYER, MANIFEST, REPOSITORY, TAG, Connection, Served, digest, put_plugin, served
from tests.support.waiting import until


async def begun(server: Served, connection: Connection) -> str:
    """Begin a PATCH of which half has arrived. Returns its location."""
    location = await server.begin_upload()
    await connection.send("PATCH", location, [("Content-Length", str(len(LAYER)))])
    connection.writer.write(LAYER[:1000])
    await connection.writer.drain()
    async with asyncio.timeout(30):
        while (await server.ask("GET", location)).headers["Range"] != "0-999":
            await asyncio.sleep(0.01)
    return location


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_an_upload_under_way_finishes_while_the_server_stops(
    is_encrypted: bool, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    theirs, ours = tls if is_encrypted else (None, None)
    async with asyncio.TaskGroup() as tasks:
        stop = asyncio.Event()
        started: asyncio.Future[Served] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            async with served(tls=theirs) as server:
                server.tls = ours
                started.set_result(server)
                await stop.wait()

        running = tasks.create_task(run())
        server = await started
        async with server.connect() as connection, server.connect() as idle:
            await begun(server, connection)
            stop.set()
            async with asyncio.timeout(30):
                while True:
                    try:
                        async with server.connect():
                            await asyncio.sleep(0.01)
                    except ConnectionError:
                        break
            assert not running.done()
            connection.writer.write(LAYER[1000:])
            answer = await connection.receive()
            assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(LAYER) - 1}")
            assert answer.headers["Connection"] == "close"
            assert await connection.ended()
            assert await idle.ended()


async def test_what_does_not_finish_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    drained, waits_seconds = RequestsInFlight.drained, list[float]()

    async def watched(in_flight: RequestsInFlight, timeout_seconds: float) -> bool:
        waits_seconds.append(timeout_seconds)
        return await drained(in_flight, timeout_seconds)

    monkeypatch.setattr(RequestsInFlight, "drained", watched)
    with capture_logs() as lines:
        async with AsyncExitStack() as clients:
            async with served(limits=ServerLimits(shutdown_seconds=0.2)) as server:
                connection = await clients.enter_async_context(server.connect())
                await begun(server, connection)
            assert await connection.ended()
    assert waits_seconds == [0.2]
    assert {"event": "requests aborted at shutdown", "count": 1, "log_level": "warning"} in lines
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_connection_that_says_nothing_is_ended() -> None:
    async with served(limits=ServerLimits(keep_alive_seconds=0.2)) as server, server.connect() as connection:
        connection.writer.write(b"GET /v2/ HTTP/1.1\r\nHost: mirr")
        async with asyncio.timeout(30):
            assert await connection.ended()


async def test_an_address_in_use() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LocalFault, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use; fix: "):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours(host: str) -> None:
    with pytest.raises(ConfigurationFault, match="cannot listen"):
        listen(host, 0)


def test_ipv6() -> None:
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6


async def test_over_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    registry = MemoryRegistry()
    await put_plugin(registry)
    theirs, ours = tls
    async with served(registry, tls=theirs) as server:
        server.tls = ours
        answer = await server.ask("GET", f"/v2/{REPOSITORY}/blobs/{digest(LAYER)}")
    assert (answer.status, answer.body) == (200, LAYER)


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS context with a certificate for 127.0.0.1, and a client's context that trusts it."""
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.configure_trust(ours)
    return theirs, ours


async def works() -> None:
    pass


async def is_broken() -> None:
    raise CatalogFault("the catalog cannot be opened: disk I/O error")


async def hangs() -> None:
    await asyncio.sleep(60)


async def is_wrong() -> None:
    raise ZeroDivisionError("at /secret/place")


@pytest.mark.parametrize(
    ("readiness", "status", "checks"),
    [
        ({}, 200, {}),
        ({"store": works, "catalog": works}, 200, {"store": "ok", "catalog": "ok"}),
        (
            {"store": works, "catalog": is_broken},
            503,
            {"store": "ok", "catalog": "the catalog cannot be opened: disk I/O error"},
        ),
        ({"store": hangs}, 503, {"store": "no answer within 0.2 s"}),
        ({"store": is_wrong}, 503, {"store": "failed; the log has the cause"}),
    ],
)
async def test_readiness(
    readiness: dict[str, object], status: int, checks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror.server.api.health._CHECK_SECONDS", 0.2)
    async with served(readiness=readiness) as server:  # type: ignore[arg-type]
        ready, alive = await server.ask("GET", "/readyz"), await server.ask("GET", "/healthz")
    assert (ready.status, ready.json["checks"], ready.json["status"] == "ok") == (status, checks, status == 200)
    assert (alive.status, alive.json) == (200, {"status": "ok"})


async def test_reads_do_not_wait_for_checks_of_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.server.api.health._WRITES_SECONDS", 0.0)
    released = asyncio.Event()

    async def locked() -> None:
        await released.wait()
        raise StorageFault("another process keeps the catalog locked")

    checks = {"catalog": works, "changes": locked}
    async with served(readiness=checks, write_checks=("changes",)) as server:
        early = await server.ask("GET", "/readyz")
        waiting = asyncio.ensure_future(server.ask("GET", "/readyz?for=writes"))
        assert (early.status, early.json["writes"], early.json["checks"]["changes"]) == (200, "failed", "not known yet")
        released.set()
        late = await waiting
        assert (late.status, late.json["status"]) == (503, "ok")
        assert late.json["checks"]["changes"] == "another process keeps the catalog locked"


async def test_readiness_is_looked_at_once_a_second_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = 0

    async def check() -> None:
        nonlocal checks
        checks += 1
        # The first check ends when all eight requests are under way. The second check has one request alone.
        await until(lambda: server.activity.in_flight.count == 8 or checks > 1)

    async with served(readiness={"store": check}) as server:
        answers = await asyncio.gather(*(server.ask("GET", "/readyz") for _ in range(8)))
        assert ([answer.status for answer in answers], checks) == ([200] * 8, 1)
        monkeypatch.setattr("mirror.server.api.health._FRESH_SECONDS", 0.0)
        await server.ask("GET", "/readyz")
        assert checks == 2


async def test_a_disk_that_hangs_is_told_and_takes_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.server.api.health._CHECK_SECONDS", 0.2)
    monkeypatch.setattr("mirror.server.api.health._FRESH_SECONDS", 0.0)
    mended, begun = threading.Event(), 0

    async def check() -> None:
        nonlocal begun
        begun += 1
        await in_thread("touch a disk", mended.wait)

    async with served(readiness={"store": check}) as server:
        async with asyncio.timeout(30):
            answers = [await server.ask("GET", "/readyz") for _ in range(3)]
        assert [(answer.status, answer.json["checks"]["store"]) for answer in answers] == [
            (503, "no answer within 0.2 s")
        ] * 3
        assert begun == 1
        mended.set()
        async with asyncio.timeout(30):
            while (await server.ask("GET", "/readyz")).status != 200:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("method", "target", "body", "expected"),
    [
        (
            "GET",
            f"/v2/{REPOSITORY}/manifests/{TAG}?ns=docker.io",
            b"",
            {"status": 200, "sent_bytes": len(MANIFEST), "received_bytes": 0, "digest": digest(MANIFEST)},
        ),
        (
            "HEAD",
            f"/v2/{REPOSITORY}/blobs/{digest(LAYER)}",
            b"",
            {"status": 200, "sent_bytes": 0, "received_bytes": 0, "digest": digest(LAYER)},
        ),
        (
            "GET",
            f"/v2/{REPOSITORY}/blobs/{digest(LAYER)}",
            b"",
            {"status": 200, "sent_bytes": len(LAYER), "received_bytes": 0, "digest": digest(LAYER)},
        ),
        (
            "POST",
            f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest(b'new')}",
            b"new",
            {"status": 201, "sent_bytes": 0, "received_bytes": 3, "digest": digest(b"new")},
        ),
    ],
)
async def test_each_answer_is_logged(
    filled: Served, method: str, target: str, body: bytes, expected: dict[str, object]
) -> None:
    with capture_logs() as lines:
        await filled.ask(method, target, [("Authorization", "Bearer sesame"), ("Cookie", "sesame")], body)
    (line,) = [line for line in lines if line["event"] == "request"]
    (seconds,) = [
        cells[-1]
        for family, series in filled.shared_metrics.sums()
        if family.name == "plugin_mirror_request_duration_seconds"
        for _, cells in series
        if any(cells)
    ]
    assert line.pop("duration_seconds") == pytest.approx(seconds, abs=1e-6)
    assert line.pop("request_id")
    assert line == {
        "event": "request",
        "log_level": "info",
        "client": "127.0.0.1",
        "method": method,
        "path": target.partition("?")[0],
        "name": REPOSITORY.name,
        **expected,
    }


async def test_refused_requests_are_logged_too(filled: Served) -> None:
    with capture_logs() as lines:
        await filled.ask("GET", "/nothing?token=sesame")
        async with filled.connect() as connection:
            connection.writer.write(b"GARBAGE sesame\r\n\r\n")
            await connection.receive()
    assert [line["status"] for line in lines if line["event"] == "request"] == [404, 400]
    assert "sesame" not in str(lines)


@pytest.mark.parametrize(
    ("target", "status", "code", "error"),
    [
        (f"/v2/{REPOSITORY}/manifests/2.0", 404, "MANIFEST_UNKNOWN", "2.0"),
        ("/v2/no/such/manifests/1", 404, "NAME_UNKNOWN", "no/such"),
        ("/v2/UPPER/manifests/1", 400, "NAME_INVALID", "UPPER"),
        ("/readyz", 503, "NOT_READY", "catalog: disk I/O error"),
    ],
)
async def test_the_line_of_a_refused_request_says_why(target: str, status: int, code: str, error: str) -> None:
    registry = MemoryRegistry()
    await put_plugin(registry)

    async def is_broken() -> None:
        raise CatalogFault("disk I/O error")

    with capture_logs() as lines:
        async with served(registry, readiness={"catalog": is_broken}) as server:
            answer = await server.ask("GET", target)
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["status"], line["code"], error in line["error"]) == (status, code, True)
    if target.startswith("/v2/"):
        assert (line["code"], line["error"]) == (answer.code, answer.json["errors"][0]["message"])


async def test_the_log_has_the_cause_that_the_client_does_not_get() -> None:
    class Broken(MemoryRegistry):
        async def get_manifest(self, *_: object) -> Any:
            raise StorageFault("cannot read /srv/blobs/ab", path="/srv/blobs/ab")

    with capture_logs() as lines:
        async with served(Broken()) as server:
            answer = await server.ask("GET", f"/v2/{REPOSITORY}/manifests/1")
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (answer.status, line["status"], line["error"]) == (500, 500, "cannot read /srv/blobs/ab")
    assert "/srv/" not in answer.body.decode()


async def test_a_client_that_speaks_tls_to_a_plain_port_is_named(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with capture_logs() as lines:
        async with served() as server:
            server.tls = tls[1]
            with pytest.raises(ssl.SSLError):
                async with server.connect():
                    pass
            await until(lambda: [line for line in lines if line["event"] == "request"])
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["error"].startswith("the client spoke TLS to a port without TLS; fix: ")


async def test_another_application_answers_the_next_request_of_an_open_connection() -> None:
    former, latter = MemoryRegistry(), MemoryRegistry()
    await put_plugin(latter)
    application = build(former, limits=ServerLimits(connections_per_client=1))
    listener, lines = listen("127.0.0.1", 0), list[dict[str, object]]()
    port = listener.getsockname()[1]
    async with serving(application, Listener(listener), write=lines.append) as live, AsyncExitStack() as stack:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.transport.abort)
        connection = Connection(reader, writer)
        for status in (404, 200):
            await connection.send("GET", f"/v2/{REPOSITORY}/manifests/{TAG}")
            assert (await connection.receive()).status == status
            if status == 404:
                live.replace(build(latter, limits=ServerLimits(), activity=application.activity.continued()))
        other, their_writer = await asyncio.open_connection("127.0.0.1", port)  # beyond the limit of the first one
        stack.callback(their_writer.transport.abort)
        await Connection(other, their_writer).send("GET", "/v2/")
        assert (await Connection(other, their_writer).receive()).status == 200
    assert [line["status"] for line in lines] == [404, 200, 200]


async def test_a_stopping_server_waits_for_requests_of_an_earlier_application() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(MemoryRegistry):
        async def get_manifest(self, *_: object) -> Any:
            begun.set()
            await go_on.wait()
            raise CatalogFault("enough")

    application = build(Slow())
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with AsyncExitStack() as stack:
        async with serving(application, Listener(listener)) as live:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.transport.abort)
            connection = Connection(reader, writer)
            await connection.send("GET", f"/v2/{REPOSITORY}/manifests/{TAG}")
            await begun.wait()
            live.replace(build(MemoryRegistry(), activity=application.activity.continued()))
            asyncio.get_running_loop().call_later(0.1, go_on.set)
        answer = await connection.receive()
        assert (answer.status, answer.headers["Connection"]) == (500, "close")


async def test_a_client_that_leaves_is_no_error(filled: Served) -> None:
    with capture_logs() as lines:
        async with filled.connect() as connection:
            location = await begun(filled, connection)
        await until(lambda: any(line.get("path") == location and line["method"] == "PATCH" for line in lines))
    assert {line["log_level"] for line in lines} == {"info"}
