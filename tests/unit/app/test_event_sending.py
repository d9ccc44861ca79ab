"""Requests to endpoints: where they may go, and what an endpoint cannot do to the server."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from structlog.testing import capture_logs

from mirror.app.events import event_sending
from mirror.app.events.event_sending import endpoint_faults, event_chores, posting
from mirror.events import event_sender
from mirror.events.event_sender import PostFailed
from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.retry_policy import RetryPolicy
from mirror.settings import Settings, load
from mirror.settings.event_settings import EventSettings
from mirror.store.registry import Store
from tests.support.builders import push_image

SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(content: bytes) -> Answer:
    """Return an endpoint that answers with some bytes."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return answer


@asynccontextmanager
async def listening(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """Yield the port of an endpoint, and the list of the paths that it is asked for."""
    asked: list[str] = []
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.split(b" ")[1].decode())
            await answer(reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has gone
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)  # closed connections end


def endpoint(url: str, **more: Any) -> EventSettings:
    return EventSettings(url=url, secret_file=Path("secret"), plain_http=True, **more)


async def ask(url: str, **more: Any) -> int:
    async with posting(endpoint(url, **more)) as post:
        return await post(url, {"webhook-id": "1"}, b"{}")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses of names. Each look-up takes the first one, and the last one stays."""
    addresses: dict[str, list[str]] = {}

    async def look_up(_loop: object, host: str | None, port: int, **_more: object) -> list[tuple[Any, ...]]:
        known = addresses.get(host or "", [host])
        address = known.pop(0) if len(known) > 1 else known[0]
        family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
        place = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", look_up)
    return addresses


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("224.0.0.1", "multicast"),
    ],
)
async def test_a_name_may_not_lead_inside(names: dict[str, list[str]], address: str, kind: str) -> None:
    async with listening(answering(OK)) as (port, asked):
        names["hook.example"] = [address]
        with pytest.raises(PostFailed, match=f"no connection: its address is .*{kind}.* to which no name may lead"):
            await ask(f"http://hook.example:{port}/")
    assert asked == []


async def test_a_name_that_changes_its_address_gains_nothing(names: dict[str, list[str]]) -> None:
    async with listening(answering(OK)) as (port, asked):
        url = f"http://hook.example:{port}/"
        names["hook.example"] = ["192.0.2.1", "127.0.0.1"]
        async with posting(endpoint(url)) as post:
            for _ in range(2):
                with pytest.raises(PostFailed):
                    await asyncio.wait_for(post(url, {}, b"{}"), 30)
    assert asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1"])
async def test_other_ways_to_write_an_address_are_names(host: str) -> None:
    async with listening(answering(OK)) as (port, asked):
        with pytest.raises(PostFailed):
            await ask(f"http://{host}:{port}/")
    assert asked == []


async def test_an_address_in_the_url_is_what_the_operator_wants() -> None:
    async with listening(answering(OK)) as (port, asked):
        assert await ask(f"http://127.0.0.1:{port}/in?key=1") == 204
        assert await ask(f"http://localhost:{port}/in") == 204
    assert asked == ["/in?key=1", "/in"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with listening(answering(OK)) as (inside, asked_inside):
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{inside}/\r\nContent-Length: 0\r\n\r\n"
        async with listening(answering(moved.encode())) as (port, asked):
            assert await ask(f"http://127.0.0.1:{port}/in") == status
    assert (asked, asked_inside) == (["/in"], [])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\xff" * 20,
        b"HTTP/1.1 204 \x1b[31mred\x1b[0m\r\nBad\x00: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
        b"HTTP/1.1 999999 OK\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_a_failure(content: bytes) -> None:
    async with listening(answering(content)) as (port, _):
        with pytest.raises(PostFailed) as failure:
            await ask(f"http://127.0.0.1:{port}/services/{SECRET}?token={SECRET}")
    assert str(failure.value)
    assert SECRET[:8] not in str(failure.value)


async def endless(writer: asyncio.StreamWriter, begin: bytes, piece: bytes) -> None:
    writer.write(begin)
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def test_a_body_without_end_is_not_read() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await endless(writer, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", bytes(65536))

    async with listening(answer) as (port, _):
        assert await ask(f"http://127.0.0.1:{port}/") == 200


@pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"X: 1\r\n"])
async def test_a_head_without_end_is_a_failure(piece: bytes) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await endless(writer, b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n", piece)

    async with listening(answer) as (port, _):
        with pytest.raises(PostFailed, match=r"more than|header|head"):
            await ask(f"http://127.0.0.1:{port}/")


async def test_nothing_is_kept_of_an_endpoint_between_requests() -> None:
    heads: list[bytes] = []

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(record, "127.0.0.1", 0)
    url = f"http://localhost:{server.sockets[0].getsockname()[1]}/"
    async with posting(endpoint(url)) as post:
        assert [await post(url, {}, b"{}") for _ in range(2)] == [200, 200]
    server.close()
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_tls_with_a_ca_of_its_own(tmp_path: Path) -> None:
    ca, file = trustme.CA(), tmp_path / "ca.crt"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    async with listening(answering(OK), context) as (port, _):
        url = f"https://127.0.0.1:{port}/"
        with pytest.raises(PostFailed, match=r"its authority is unknown here; fix: .* events\[127\.0\.0\.1\]\.ca$"):
            await ask(url)
        with pytest.raises(ConfigurationFault, match=r"cannot be used: No such file"):
            await ask(url, ca=file)
        file.write_text("no certificate")
        with pytest.raises(ConfigurationFault, match="cannot be used"):
            await ask(url, ca=file)
        ca.cert_pem.write_to_path(str(file))
        assert await ask(url, ca=file) == 204
        trustme.CA().cert_pem.write_to_path(str(file))
        with pytest.raises(PostFailed, match=r"its authority is unknown here; fix: .* events\[127\.0\.0\.1\]\.ca$"):
            await ask(url, ca=file)


def test_what_an_endpoint_lacks_is_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "good").write_text(SECRET)
    (tmp_path / "bad").write_text("hunter2")
    url = "https://hook.example/"
    found = endpoint_faults(
        [
            EventSettings(url=url, secret_file=tmp_path / "good"),
            EventSettings(url=url, secret_file=tmp_path / "bad"),
            EventSettings(url=url, secret_file=tmp_path / "none"),
            EventSettings(url=url, secret_file=tmp_path / "good", ca=tmp_path / "none"),
        ]
    )
    wanted = [(1, "secret_file", "is no secret"), (2, "secret_file", "No such file"), (3, "ca", "No such file")]
    for (number, key, fault), (nth, of_key, words) in zip(found, wanted, strict=True):
        assert (number, key) == (nth, of_key)
        assert words in fault
        assert ", so hook.example gets no events; fix: " in fault
        assert "\n" not in fault
        assert "hunter2" not in fault


async def test_an_endpoint_that_hangs_holds_up_nothing_else(tmp_path: Path) -> None:
    taken: list[tuple[str, str]] = []
    done = asyncio.Event()

    def endpoint_that(name: str, hangs_for: str) -> Answer:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            body = await reader.readuntil(b"}}}")
            repository = json.loads(body)["data"]["repository"]
            if repository == hangs_for or not hangs_for:
                await asyncio.sleep(3600)
            taken.append((name, repository))
            if {one[0] for one in taken} >= {"good", "partial"}:
                done.set()
            writer.write(OK)

        return answer

    (tmp_path / "secret").write_text(SECRET)
    async with (
        listening(endpoint_that("bad", "")) as (bad, _),
        listening(endpoint_that("good", "none")) as (good, _),
        listening(endpoint_that("partial", "acme/one")) as (partial, _),
        Store.open(tmp_path / "data", keeps_changes=True) as store,
    ):
        settings = settings_with(tmp_path, {"bad": bad, "good": good, "partial": partial})
        for name in ("one", "two"):
            await push_image(store, "one", "1", repository=Repository(f"acme/{name}"))
        chores = [asyncio.create_task(chore()) for chore in event_chores(settings, store)]
        await asyncio.wait_for(done.wait(), 60)
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        counts = {one.endpoint: one.waiting for one in await store.records.deliveries.counts()}
    assert ("partial", "acme/two") in taken
    assert counts["bad"] == 2
    assert counts["partial"] >= 1


def settings_with(tmp_path: Path, ports: dict[str, int]) -> Settings:
    events = [
        {
            "name": name,
            "url": f"http://127.0.0.1:{port}/",
            "plain_http": True,
            "secret_file": str(tmp_path / "secret"),
            "on": ["tag"],
        }
        for name, port in ports.items()
    ]
    return load(None, {"storage": {"path": tmp_path / "data"}, "audit": {"enabled": False}, "events": events})


async def test_the_secrets_may_vanish_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_sender, "RETRIES", RetryPolicy(attempts=None, first_delay_seconds=0.05))
    secret = tmp_path / "secret"
    async with (
        listening(answering(OK)) as (port, asked),
        Store.open(tmp_path / "data", keeps_changes=True) as store,
    ):
        with capture_logs() as lines:
            (send, _) = event_chores(settings_with(tmp_path, {"hook": port}), store)
            chore = asyncio.create_task(send())
            while not lines:
                await asyncio.sleep(0.02)
            chore.cancel()
            await asyncio.gather(chore, return_exceptions=True)
        # No change has happened yet.
        assert [(line["event"], line["endpoint"]) for line in lines] == [("endpoint of events cannot be used", "hook")]
        assert lines[0]["reason"].startswith(
            f"secret_file: {secret} cannot be read: No such file or directory, so hook"
        )
        await push_image(store, "one", "1")
        (send, _) = event_chores(settings_with(tmp_path, {"hook": port}), store)
        chore = asyncio.create_task(send())
        deliveries = store.records.deliveries
        while not any(one.problem for one in await deliveries.counts()):
            await asyncio.sleep(0.02)
        (counts,) = await deliveries.counts()
        assert counts.problem.endswith("secret cannot be read: No such file or directory")
        assert asked == []
        secret.write_text(SECRET)
        while await deliveries.counts():
            await asyncio.sleep(0.05)
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)
    assert asked == ["/"]


async def test_events_of_former_endpoints_go_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(SECRET)
    async with Store.open(tmp_path / "data", keeps_changes=True) as store:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        await push_image(store, "one", "1")
        (send, _) = event_chores(settings_with(tmp_path, {"former": port}), store)
        chore = asyncio.create_task(send())
        deliveries = store.records.deliveries
        while not await deliveries.counts():
            await asyncio.sleep(0.02)
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)
        monkeypatch.setattr(event_sending, "_FORMER_KEPT", -event_sending._FORMER_KEPT)
        (forget,) = event_chores(settings_with(tmp_path, {}), store)
        chore = asyncio.create_task(forget())
        while await deliveries.counts():
            await asyncio.sleep(0.02)
        chore.cancel()
        await asyncio.gather(chore, return_exceptions=True)
    assert chore.cancelled()
