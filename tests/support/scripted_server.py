"""An upstream that answers by script, and can lie, stall or break off as no real registry does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content"}


@dataclass(frozen=True)
class Reply:
    """An answer in the script.

    Attributes:
        length: value of Content-Length; None: the body's real length; -1: the header is not sent.
        then: action after the body: "keep" the connection, "cut" it, "stall" for ever, "drip" a byte now and then, or
            send bytes "endless".
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    then: str = "keep"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"


class ScriptedServer:
    """A server that answers ``METHOD TARGET`` with the next of the scripted replies, and repeats the last of them.

    Other requests are answered with 599.

    Attributes:
        seen: requests that were read to their end.
        connections: number of connections so far.
        port: its port on the loopback.
        raw: bytes that replace every answer; the connection ends after them.
        stop_reading: True if bodies are not read and requests not answered.
        unread: number of requests that were left unread.
        sent_bytes: bytes of bodies that were sent.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self.port = 0
        self.raw: bytes | None = None
        self.stop_reading = False
        self.unread = 0
        self.sent_bytes = 0
        self._script: dict[str, list[Reply]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self.seen]

    def on(self, line: str, *replies: Reply) -> None:
        self._script[line] = list(replies)

    @asynccontextmanager
    async def running(
        self, port: int = 0, *, socket: Path | None = None, tls: SSLContext | None = None
    ) -> AsyncIterator[ScriptedServer]:
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

        if socket is not None:
            server = await asyncio.start_unix_server(accept, socket)
        else:
            server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
            self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        if self.stop_reading:
            self.unread += 1
            await asyncio.Event().wait()
        body = await _body(reader, headers)
        self.seen.append(Seen(method, target, headers, body))
        if self.raw is not None:
            writer.write(self.raw)
            await writer.drain()
            return False
        replies = self._script.get(f"{method} {target}", [Reply(599, b"not in the script")])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        length = len(reply.body) if reply.length is None else reply.length
        lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'X')}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += [f"Content-Length: {length}"] if length >= 0 and reply.status != 204 else []
        writer.write("\r\n".join([*lines, "", ""]).encode())
        writer.write(b"" if method == "HEAD" else reply.body)
        await writer.drain()
        self.sent_bytes += len(reply.body)
        while reply.then in {"endless", "drip"}:
            piece = bytes(65536 if reply.then == "endless" else 1)
            writer.write(piece)
            await writer.drain()
            self.sent_bytes += len(piece)
            # Many bytes within the read timeouts of the tests, so that the stream is slow and never silent.
            await asyncio.sleep(0.02 if reply.then == "drip" else 0)
        if reply.then == "stall":
            await asyncio.Event().wait()
        return reply.then == "keep" and (length >= 0 or method == "HEAD")


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("Transfer-Encoding") == "chunked":
        content = b""
        while size := int(await reader.readline(), 16):
            content += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return content
    return await reader.readexactly(int(headers.get("Content-Length", 0)))
