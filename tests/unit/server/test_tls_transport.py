"""The transport that encrypts, between a protocol and a real connection."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.runtime.concurrency.threads import in_thread
from mirror.server.http_server import listen
from mirror.server.tls.tls_acceptor import TlsAcceptor
from mirror.server.tls.tls_handshake import HandshakeOutcome
from mirror.server.tls.tls_socket import TlsSocket
from mirror.server.tls.tls_transport import TlsTransport
from tests.support.certificates import CertificateFiles, OneContext
from tests.support.waiting import until

MIB = 1024 * 1024


@dataclass
class Recorder(asyncio.Protocol):
    """A protocol that notes everything it is told."""

    transport: TlsTransport | None = None
    received: bytearray = field(default_factory=bytearray)
    told: list[str] = field(default_factory=list)
    error: Exception | None = None
    made: asyncio.Event = field(default_factory=asyncio.Event)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    may_write: asyncio.Event = field(default_factory=asyncio.Event)
    on_data: Callable[[bytes], object] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport
        self.may_write.set()
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)

    def eof_received(self) -> bool | None:
        self.told.append("eof")
        return None

    def pause_writing(self) -> None:
        self.told.append("pause")
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.told.append("resume")
        self.may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc
        self.lost.set()

    @property
    def open(self) -> TlsTransport:
        assert self.transport is not None
        return self.transport


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return CertificateFiles.made(tmp_path_factory.mktemp("tls"))


def connect(files: CertificateFiles, port: int, receive_buffer_bytes: int | None = None) -> ssl.SSLSocket:
    """Connect a client that sees an end without the farewell of TLS as an error. Blocks."""
    plain = socket.socket()
    plain.settimeout(30)
    if receive_buffer_bytes is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    plain.connect(("127.0.0.1", port))
    return files.trusting().wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)


@asynccontextmanager
async def accepting(files: CertificateFiles, recorder: Recorder) -> AsyncIterator[int]:
    with closing(listen("127.0.0.1", 0)) as listener:
        contexts, outcomes = OneContext(files.tls().context(datetime.now(UTC))), list[HandshakeOutcome]()
        task = asyncio.create_task(TlsAcceptor(listener, contexts, lambda _: recorder, outcomes.append).run())
        try:
            yield listener.getsockname()[1]
        finally:
            task.cancel()
            await asyncio.wait([task])
    assert outcomes == [HandshakeOutcome.DONE]


@asynccontextmanager
async def pair(files: CertificateFiles, **options: Any) -> AsyncIterator[tuple[Recorder, ssl.SSLSocket]]:
    """Yield a protocol and a blocking client that are connected."""
    recorder = Recorder()
    async with asyncio.timeout(60), accepting(files, recorder) as port:
        client = await in_thread(connect, files, port, **options)
        with closing(client):
            await recorder.made.wait()
            yield recorder, client
        recorder.open.abort()
        await recorder.lost.wait()
    assert recorder.told.count("lost") == 1
    assert recorder.open.get_extra_info("socket").fileno() == -1


def read(client: ssl.SSLSocket, size_bytes: int) -> bytes:
    """Read exactly so many bytes. Blocks."""
    data = bytearray()
    while len(data) < size_bytes:
        chunk = client.recv(size_bytes - len(data))
        assert chunk
        data += chunk
    return bytes(data)


def read_to_end(client: ssl.SSLSocket) -> bytes:
    """Read until the server says farewell. Raises ssl.SSLEOFError or ConnectionResetError if it does not. Blocks."""
    data = bytearray()
    while chunk := client.recv(MIB):
        data += chunk
    return bytes(data)


async def until_blocked(recorder: Recorder) -> bytes:
    """Write until the client takes no more. Return what was written."""
    written = bytearray()
    while recorder.may_write.is_set():
        piece = os.urandom(100_000)
        recorder.open.write(piece)
        written += piece
        await asyncio.sleep(0)
    return bytes(written)


@given(st.lists(st.integers(1, 300_000), max_size=6), st.lists(st.integers(0, 300_000), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_bytes_pass_in_order_both_ways(files: CertificateFiles, sent: list[int], answered: list[int]) -> None:
    outgoing, incoming = [os.urandom(size) for size in answered], [os.urandom(size) for size in sent]

    def talk(client: ssl.SSLSocket) -> bytes:
        for piece in incoming:
            client.sendall(piece)
        return read(client, sum(answered))

    async def run() -> None:
        async with pair(files) as (recorder, client):
            talking = asyncio.create_task(in_thread(talk, client))
            for number, piece in enumerate(outgoing):
                recorder.open.write([piece, bytearray(piece), memoryview(piece)][number % 3])
                await recorder.may_write.wait()
            assert await talking == b"".join(outgoing)
            await until(lambda: len(recorder.received) >= sum(sent))
            assert recorder.received == b"".join(incoming)

    asyncio.run(run())


async def test_a_client_that_does_not_read_makes_the_protocol_wait(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        written = await until_blocked(recorder)
        assert recorder.told == ["pause"]
        assert recorder.open.get_write_buffer_size() > 64 * 1024
        # What is written all the same is sent after the rest, in order.
        recorder.open.writelines([b"one ", bytearray(b"two "), memoryview(b"three")])

        assert await in_thread(read, client, len(written) + 13) == written + b"one two three"

        await recorder.may_write.wait()
        assert recorder.told == ["pause", "resume"]
        assert recorder.open.get_write_buffer_size() == 0


async def test_a_buffer_may_change_after_it_was_written(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        written, buffer = await until_blocked(recorder), bytearray(b"before")
        recorder.open.write(buffer)
        buffer[:] = b"after."

        assert await in_thread(read, client, len(written) + 6) == written + b"before"


async def test_write_limits(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, _client):
        transport = recorder.open
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=8000)
        assert transport.get_write_buffer_limits() == (2000, 8000)
        transport.set_write_buffer_limits(low=500)
        assert transport.get_write_buffer_limits() == (500, 2000)
        with pytest.raises(ValueError, match="high"):
            transport.set_write_buffer_limits(high=1, low=2)
        assert not transport.can_write_eof()


async def test_a_protocol_that_pauses_gets_nothing_until_it_resumes(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        transport, more = recorder.open, asyncio.Event()
        transport.pause_reading()
        assert not transport.is_reading()
        await in_thread(client.sendall, b"early")
        await in_thread(client.sendall, b"late")
        assert recorder.received == b""
        recorder.on_data = lambda _: more.set()

        transport.resume_reading()
        await more.wait()

        await until(lambda: len(recorder.received) >= 9)
        assert recorder.received == b"earlylate"


@pytest.mark.parametrize("is_blocked", [False, True])
async def test_tls_that_must_send_before_it_receives_does_not_spin(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch, is_blocked: bool
) -> None:
    calls, receive = list[None](), TlsSocket.recv_into

    def busy_once(connection: TlsSocket, *arguments: Any) -> int:
        calls.append(None)
        if len(calls) == 1:
            raise ssl.SSLWantWriteError
        return receive(connection, *arguments)

    async with pair(files) as (recorder, client):
        written = await until_blocked(recorder) if is_blocked else b""
        monkeypatch.setattr(TlsSocket, "recv_into", busy_once)
        await in_thread(client.sendall, b"hello")
        if is_blocked:
            await until(lambda: calls)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(calls) == 1
            assert await in_thread(read, client, len(written)) == written
        await until(lambda: recorder.received == b"hello")
        assert len(calls) == 2


async def test_another_protocol_takes_over(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        other, more = Recorder(), asyncio.Event()
        other.on_data = lambda _: more.set()
        recorder.open.set_protocol(other)
        await in_thread(client.sendall, b"hello")
        await more.wait()
        assert (recorder.received, other.received) == (b"", b"hello")
        assert recorder.open.get_protocol() is other
        recorder.open.set_protocol(recorder)


async def test_close_sends_the_rest_and_says_farewell(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        written = await until_blocked(recorder)
        recorder.open.close()
        recorder.open.write(b"too late")
        assert recorder.open.is_closing()
        assert not recorder.lost.is_set()

        assert await in_thread(read_to_end, client) == written

        await recorder.lost.wait()
        assert recorder.error is None


async def test_abort_can_be_told_from_an_end(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        recorder.open.write(b"a part")
        recorder.open.abort()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await in_thread(read_to_end, client)


async def test_a_client_that_leaves(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        with suppress(OSError):  # the server does not wait for the end of the farewell
            await in_thread(client.unwrap)
        await recorder.lost.wait()
        assert recorder.told == ["eof", "lost"]
        assert recorder.error is None


async def test_a_client_that_is_cut_off(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        await until_blocked(recorder)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await recorder.lost.wait()
        assert isinstance(recorder.error, ConnectionError)


async def test_bytes_that_are_no_tls_end_the_connection(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        os.write(client.fileno(), b"GET /v2/ HTTP/1.1\r\nHost: mirror\r\n\r\n")
        await recorder.lost.wait()
        assert isinstance(recorder.error, ConnectionError)
        assert recorder.received == b""


async def test_a_protocol_that_fails_loses_the_connection(files: CertificateFiles) -> None:
    failures = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    def fail(_data: bytes) -> None:
        raise ZeroDivisionError("of the protocol")

    async with pair(files) as (recorder, client):
        recorder.on_data = fail
        await in_thread(client.sendall, b"hello")
        await recorder.lost.wait()
    assert [str(failure["exception"]) for failure in failures] == ["of the protocol"]


async def test_shutdown_below_tls_ends_a_waiting_write_and_sends_nothing_in_clear(files: CertificateFiles) -> None:
    async with pair(files) as (recorder, client):
        written = await until_blocked(recorder)
        recorder.open.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        await recorder.lost.wait()
        received = bytearray()
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await in_thread(lambda: [received.extend(client.recv(MIB)) for _ in range(10_000)])
        assert written.startswith(received)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    (tmp_path / "content").write_bytes(os.urandom(3 * MIB + 17))
    return tmp_path / "content"


@pytest.mark.parametrize("receive_buffer_bytes", [None, 4096])
async def test_a_file_is_sent_after_what_was_written(
    files: CertificateFiles, content: Path, receive_buffer_bytes: int | None
) -> None:
    async with pair(files, receive_buffer_bytes=receive_buffer_bytes) as (recorder, client):
        with content.open("rb") as file:
            head = await until_blocked(recorder) if receive_buffer_bytes else b"HTTP/1.1 200 OK"
            if not receive_buffer_bytes:
                recorder.open.write(head)
            reading = asyncio.create_task(in_thread(read, client, len(head) + 2 * MIB + 3))
            assert await recorder.open.send_file(file, 5, 2 * MIB) == 2 * MIB
            assert recorder.open.get_write_buffer_size() == 0  # the kernel has it all, also if the program ends now
            recorder.open.write(b"end")
            assert await reading == head + content.read_bytes()[5 : 2 * MIB + 5] + b"end"
            assert file.tell() == 0


async def test_the_kernel_waits_for_full_packets_only_while_a_file_is_sent(
    files: CertificateFiles, content: Path
) -> None:
    def waits() -> bool:
        return bool(recorder.open.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK))

    async with pair(files, receive_buffer_bytes=4096) as (recorder, client):
        head = await until_blocked(recorder)
        with content.open("rb") as file:
            sending = asyncio.create_task(recorder.open.send_file(file, 0, MIB))
            await until(waits)
            await in_thread(read, client, len(head) + MIB)
            await sending
        assert not waits()


async def test_a_file_that_is_too_short_is_sent_as_far_as_it_goes(files: CertificateFiles, content: Path) -> None:
    async with pair(files) as (recorder, client):
        with content.open("rb") as file:
            reading = asyncio.create_task(in_thread(read, client, 17))
            assert await recorder.open.send_file(file, 3 * MIB, MIB) == 17
            assert await reading == content.read_bytes()[3 * MIB :]


async def test_a_file_for_a_client_that_has_gone(files: CertificateFiles, content: Path) -> None:
    async with pair(files, receive_buffer_bytes=4096) as (recorder, client):
        with content.open("rb") as file:
            await until_blocked(recorder)
            sending = asyncio.create_task(recorder.open.send_file(file, 0, 3 * MIB))
            await asyncio.sleep(0)
            client.close()
            with pytest.raises(ConnectionResetError, match="the client disconnected"):
                await sending
            with pytest.raises(ConnectionResetError, match="the client disconnected"):
                await recorder.open.send_file(file, 0, 1)


async def test_a_file_that_cannot_be_read(files: CertificateFiles, tmp_path: Path) -> None:
    async with pair(files) as (recorder, _client):
        with (tmp_path / "written").open("wb") as file, pytest.raises(OSError, match="Bad file descriptor"):
            await recorder.open.send_file(file, 0, 1)
