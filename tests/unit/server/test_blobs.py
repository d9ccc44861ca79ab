"""``/v2/NAME/blobs/DIGEST``: status, headers and body for each request, and the transfer of bytes."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

import pytest
from structlog.testing import capture_logs

from mirror.oci import Digest, Repository
from mirror.oci.errors import UpstreamProtocolError
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Blob
from mirror.server.http.server_limits import ServerLimits
from mirror.wire.ranges import RangeRequest, Span
from tests.support.clocks import HandClock
from tests.support.served import LAYER, REPOSITORY, Served, digest, put_blob, served
from tests.support.waiting import until

URL = f"/v2/{REPOSITORY}/blobs"
SIZE = len(LAYER)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("content", [LAYER, b"", b"x"])
async def test_a_blob(filled: Served, method: str, content: bytes) -> None:
    await put_blob(filled.registry, content)
    answer = await filled.ask(method, f"{URL}/{digest(content)}")
    assert answer.status == 200
    assert answer.headers.get_all("Content-Length") == [str(len(content))]
    assert answer.headers.get_all("Content-Type") == ["application/octet-stream"]
    assert answer.headers.get_all("Docker-Content-Digest") == [digest(content)]
    assert answer.headers["Content-Encoding"] is None
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.body == (content if method == "GET" else b"")


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        (f"bytes=500-{SIZE * 2}", 500, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        ("bytes=0-0", 0, 0),
        ("Bytes = 0 - 0", 0, 0),
    ],
)
async def test_a_part_of_a_blob(filled: Served, header: str, first: int, last: int) -> None:
    answer = await filled.ask("GET", f"{URL}/{digest(LAYER)}", [("Range", header)])
    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["Docker-Content-Digest"] == digest(LAYER)
    assert answer.body == LAYER[first : last + 1]


@pytest.mark.parametrize(
    ("header", "content_range"),
    [
        (f"bytes={SIZE}-", f"bytes */{SIZE}"),
        (f"bytes={SIZE * 2}-{SIZE * 3}", f"bytes */{SIZE}"),
        ("bytes=-0", f"bytes */{SIZE}"),
        ("bytes=500-0", None),
    ],
)
async def test_a_part_that_is_not_there(filled: Served, header: str, content_range: str | None) -> None:
    answer = await filled.ask("GET", f"{URL}/{digest(LAYER)}", [("Range", header)])
    assert (answer.status, answer.headers["Content-Range"]) == (416, content_range)
    assert answer.json["errors"][0]["detail"]
    assert int(answer.headers["Content-Length"]) == len(answer.body) < SIZE


@pytest.mark.parametrize("header", ["lines=1-2", "bytes=0-1,4-5", "bytes=", "bytes=x-y", "bytes=-", "500-1499"])
async def test_a_range_that_cannot_be_followed_is_ignored(filled: Served, header: str) -> None:
    answer = await filled.ask("GET", f"{URL}/{digest(LAYER)}", [("Range", header)])
    assert (answer.status, answer.body) == (200, LAYER)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [("GET", [("Range", "bytes=1-2"), ("If-Range", '"x"')], 200), ("HEAD", [("Range", "bytes=1-2")], 200)],
)
async def test_where_a_range_does_not_count(
    filled: Served, method: str, headers: list[tuple[str, str]], status: int
) -> None:
    answer = await filled.ask(method, f"{URL}/{digest(LAYER)}", headers)
    assert (answer.status, answer.headers["Content-Length"]) == (status, str(SIZE))


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", digest(b"other"), 404, "BLOB_UNKNOWN"),
        ("DELETE", digest(b"other"), 404, "BLOB_UNKNOWN"),
        ("GET", "sha256:abc", 400, "DIGEST_INVALID"),
        ("GET", "md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        ("GET", digest(LAYER).upper(), 400, "DIGEST_INVALID"),
        ("PUT", digest(LAYER), 405, "UNSUPPORTED"),
    ],
)
async def test_refusals(filled: Served, method: str, target: str, status: int, code: str) -> None:
    answer = await filled.ask(method, f"{URL}/{target}")
    assert (answer.status, answer.code) == (status, code)


async def test_a_blob_of_another_repository_is_unknown(filled: Served) -> None:
    answer = await filled.ask("HEAD", f"/v2/other/blobs/{digest(LAYER)}")
    assert answer.status == 404


async def test_a_deleted_blob_is_gone(filled: Served) -> None:
    assert (await filled.ask("DELETE", f"{URL}/{digest(LAYER)}")).status == 202
    assert (await filled.ask("HEAD", f"{URL}/{digest(LAYER)}")).status == 404


async def test_the_body_of_a_get_is_drained(filled: Served) -> None:
    async with filled.connect() as connection:
        for _ in range(2):
            await connection.send("GET", f"{URL}/{digest(LAYER)}", body=b"x" * 300_000)
            assert (await connection.receive()).body == LAYER


@dataclass
class FileBlob:
    """A blob in a file, with a stated size that may differ from the file's."""

    file: IO[bytes]
    size_bytes: int
    span: Span

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.file.seek(self.span.start)
        yield self.file.read(self.span.size_bytes)


class InFile(DelegatingRegistry):
    """A registry that holds one blob, in a file."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        super().__init__(MemoryRegistry())
        self.path = path
        self.size_bytes = size_bytes
        self.handles: list[IO[bytes]] = []

    @asynccontextmanager
    async def _open(self, part: RangeRequest | None) -> AsyncIterator[Blob]:
        with self.path.open("rb") as file:
            self.handles.append(file)
            span = part.resolve(self.size_bytes) if part else Span(0, self.size_bytes)
            yield FileBlob(file, self.size_bytes, span)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        return self._open(part)


@pytest.mark.parametrize("header", [None, "bytes=70000-2500000"])
async def test_a_blob_in_a_file(tmp_path: Path, header: str | None) -> None:
    content = bytes(range(251)) * 20_000
    path = tmp_path / "blob"
    path.write_bytes(content)
    registry = InFile(path, len(content))
    async with served(registry) as server, server.connect() as connection:
        for _ in range(2):
            await connection.send("GET", f"{URL}/{digest(content)}", [("Range", header)] if header else [])
            answer = await connection.receive()
            assert answer.body == (content[70_000:2_500_001] if header else content)
    assert [handle.closed for handle in registry.handles] == [True, True]


async def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.touch()
    async with served(InFile(path, 0)) as server:
        answer = await server.ask("GET", f"{URL}/{digest(b'')}")
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "0", b"")


async def test_a_file_that_is_too_short_breaks_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"short")
    async with served(InFile(path, 1000)) as server, server.connect() as connection:
        await connection.send("GET", f"{URL}/{digest(LAYER)}")
        status, headers = await connection.receive_head()
        assert (status, headers["Content-Length"]) == (200, "1000")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await connection.reader.readexactly(1000)


class Breaking(DelegatingRegistry):
    """A registry with a blob of 100 bytes that yields ``chunks`` and then raises ``error``."""

    def __init__(self, chunks: list[bytes], error: Exception | None) -> None:
        super().__init__(MemoryRegistry())
        self.chunks = chunks
        self.error = error
        self.closed = False

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Blob]:
        yield self
        self.closed = True

    size_bytes = 100
    span = Span(0, 100)
    file = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.error is not None:
            raise self.error

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        return self._open()


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ([b"x" * 60], None),
        ([b"x" * 60, b"x" * 60], None),
        ([b"x" * 60], UpstreamProtocolError("other bytes")),
        ([], UpstreamProtocolError("other bytes")),
        ([b"x" * 60], ZeroDivisionError()),
    ],
)
async def test_a_blob_that_turns_out_wrong_is_never_of_full_length(
    chunks: list[bytes], error: Exception | None
) -> None:
    async with served(Breaking(chunks, error)) as server, server.connect() as connection:
        await connection.send("GET", f"{URL}/{digest(LAYER)}")
        assert (await connection.receive_head())[0] == 200
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await connection.reader.readexactly(100)


async def test_a_client_that_takes_all_at_once_does_not_keep_the_process_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, size_bytes = tmp_path / "blob", 32 * 1024 * 1024
    with path.open("wb") as file:
        file.truncate(size_bytes)
    sendfile, turns = os.sendfile, [0]

    def counted(to: int, file: int, offset: int, count: int) -> int:
        sent = sendfile(to, file, offset, count)
        turns[-1] += sent
        return sent

    def next_turn() -> None:
        turns.append(0)
        again[0] = loop.call_soon(next_turn)

    def take(port: int) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{URL}/{digest(LAYER)}", timeout=30) as answer:
            return len(answer.read())

    loop = asyncio.get_running_loop()
    again = [loop.call_soon(next_turn)]
    monkeypatch.setattr(os, "sendfile", counted)
    async with served(InFile(path, size_bytes)) as server:
        assert await asyncio.to_thread(take, server.port) == size_bytes
    again[0].cancel()
    assert sum(turns) == size_bytes
    assert max(turns) <= 2 * 1024 * 1024


@pytest.mark.parametrize(
    ("error", "event"),
    [(errno.EIO, "download aborted"), (errno.EPIPE, "client disconnected during a download")],
)
async def test_a_disk_that_fails_is_not_taken_for_a_client_that_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, event: str
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(bytes(1000))
    calls = count()

    def fails(_to: int, _file: int, _offset: int, _count: int) -> int:
        if next(calls) == 0:
            raise BlockingIOError
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "sendfile", fails)
    with capture_logs() as lines:
        async with served(InFile(path, 1000)) as server, server.connect() as connection:
            await connection.send("GET", f"{URL}/{digest(LAYER)}")
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await connection.receive()
    assert event in [line["event"] for line in lines]


async def test_a_client_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    registry = InFile(path, 64 * 1024 * 1024)
    clock, limits = HandClock(), ServerLimits(idle_seconds=0.4, shutdown_seconds=20)
    async with served(registry, limits, now_seconds=clock.monotonic_seconds) as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(f"GET {URL}/{digest(LAYER)} HTTP/1.1\r\nHost: mirror\r\n\r\n".encode())
            await until(lambda: server.activity.stalling.count or clock.advance(hours=1))
            await until(lambda: registry.handles[0].closed)
        finally:
            client.close()
    assert registry.handles[0].closed
