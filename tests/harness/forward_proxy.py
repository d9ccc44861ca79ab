"""Forward proxies on loopback, in this process: HTTP (CONNECT and absolute URLs) and SOCKS5."""

from __future__ import annotations

import asyncio
import ipaddress
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class ForwardProxy:
    """A proxy that resolves every host name to 127.0.0.1.

    Attributes:
        login: Required credentials (`NAME:PASSWORD`), or None if the proxy needs no login.
        port: Port of the proxy while it serves.
        passed: Targets of all accepted requests, as `HOST:PORT`.
    """

    login: str | None = None
    port: int = 0
    passed: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[ForwardProxy]:
        """Serve as an HTTP proxy while the block runs."""
        async with _serving(self, self._http):
            yield self

    @asynccontextmanager
    async def socks(self) -> AsyncIterator[ForwardProxy]:
        """Serve as a SOCKS5 proxy while the block runs."""
        async with _serving(self, self._socks):
            yield self

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        wanted = f"Basic {b64encode(self.login.encode()).decode()}" if self.login else None
        if headers.get("proxy-authorization") != wanted:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        port = parts.port or 80
        self.passed.append(f"{parts.hostname}:{port}")
        there = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            kept = [line for line in lines if not line.lower().startswith("proxy-")]
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            there[1].write("\r\n".join([f"{method} {path} HTTP/1.1", *kept, "", ""]).encode("latin-1"))
        await _joined((reader, writer), there)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x02" if self.login else b"\x05\x00")
        if self.login:
            name = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            right = b":".join((name, password)).decode() == self.login
            writer.write(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2))
        self.passed.append(f"{host}:{port}")
        there = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await _joined((reader, writer), there)


@asynccontextmanager
async def _serving(proxy: ForwardProxy, serve: object) -> AsyncIterator[None]:
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)  # type: ignore[operator]
                await writer.drain()
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(one(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _joined(here: _Streams, there: _Streams) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()

    try:
        await asyncio.gather(pump(here[0], there[1]), pump(there[0], here[1]))
    finally:
        there[1].close()
