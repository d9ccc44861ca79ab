"""A TCP proxy that adds latency, to simulate a server that is far away.

`tc netem` would delay the whole machine, and many kernels lack it.
"""

import asyncio
import threading
from contextlib import ExitStack, closing, suppress
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 64 * 1024
_MOST_CHUNKS_UNDER_WAY = 256


class FarLine:
    """A port that forwards to another port of 127.0.0.1 with a delay of `round_trip_seconds`. Bandwidth is not limited.

    Opening a connection takes one round trip. Data takes half a round trip in each direction.
    The port is on `address`, a loopback address. A context manager: the port is open inside the block.
    """

    def __init__(self, port: int, *, round_trip_seconds: float, address: str = "127.0.0.1") -> None:
        self.port = 0
        self._address = address
        self._to_port = port
        self._round_trip_seconds = round_trip_seconds
        self._loop = asyncio.new_event_loop()
        self._stack = ExitStack()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT` or `[::1]:PORT`, as written in references."""
        return f"[{self._address}]:{self.port}" if ":" in self._address else f"{self._address}:{self.port}"

    @property
    def url(self) -> str:
        """Base URL `http://HOST:PORT`, without a trailing slash."""
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._loop.close)
            thread = threading.Thread(target=self._loop.run_forever, name="far line", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(self._loop.call_soon_threadsafe, self._loop.stop)
            server = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
            stack.callback(lambda: asyncio.run_coroutine_threadsafe(_close(server), self._loop).result())
            self.port = server.sockets[0].getsockname()[1]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def _open(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, self._address, 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await asyncio.sleep(self._round_trip_seconds)
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
            with closing(there_writer):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._carry(reader, there_writer))
                    tasks.create_task(self._carry(there_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction until its sender closes the connection."""
        # Reading and delivering run at the same time, so that the delay does not limit the throughput.
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_CHUNKS_UNDER_WAY)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver(under_way, writer))
            chunk = b"-"
            while chunk:
                try:
                    chunk = await reader.read(_CHUNK_BYTES)
                except ConnectionError:
                    chunk = b""
                await under_way.put((self._loop.time() + self._round_trip_seconds / 2, chunk))

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            at_seconds, chunk = await under_way.get()
            await asyncio.sleep(max(at_seconds - self._loop.time(), 0))
            if not chunk:
                break
            with suppress(ConnectionError):  # the receiver left; the other direction tells the sender
                writer.write(chunk)
                await writer.drain()
        writer.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # asyncio closes the sockets in the next iteration of the loop
