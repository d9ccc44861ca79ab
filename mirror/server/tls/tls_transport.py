"""A TLS connection as an asyncio transport.

asyncio's own TLS copies all data through two buffers in memory. This transport lets OpenSSL read from the socket and
write to it, which sends blobs faster, and costs the same for small answers (docs/adr/0061).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

#: Most bytes of one record of TLS. OpenSSL returns at most one record from a call.
_RECORD_BYTES: Final = 16 * 1024
#: Most bytes received in one step, after which other tasks run.
_STEP_BYTES: Final = 256 * 1024
#: Bytes passed to OpenSSL in one call. What the client does not take at once is kept in memory, so it bounds that.
_PIECE_BYTES: Final = 256 * 1024
#: Unsent bytes from which on the protocol has to wait, and below which it may go on. asyncio's defaults.
_HIGH_WATER_BYTES: Final = 64 * 1024

# Both are used within one step of the event loop only, so all connections of a process can share them.
_RECEIVED: Final = memoryview(bytearray(_STEP_BYTES + _RECORD_BYTES))
_READ: Final = memoryview(bytearray(_PIECE_BYTES))


class TlsTransport(asyncio.Transport):
    """Connects a protocol with a socket whose handshake is complete.

    Args:
        connection: the socket; not blocking. The transport closes it.
        peer: address of the client, as the kernel gave it.
        protocol: takes the connection.
        loop: the running event loop.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        peer: tuple[Any, ...],
        protocol: asyncio.BaseProtocol,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            {
                "socket": connection,
                "sslcontext": connection.context,
                "ssl_object": connection,
                "client_certificate": connection.getpeercert(binary_form=True),
                "peername": peer,
                "sockname": connection.getsockname(),
            }
        )
        self._loop = loop
        self._socket = connection
        self._file = connection.fileno()
        self._high, self._low = _HIGH_WATER_BYTES, _HIGH_WATER_BYTES // 4
        # OpenSSL wants a write that could not finish again with the same bytes, so pieces are kept as they were given.
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._writer_waits = False
        self._reading = self._closing = self._lost = self._needs_room = False
        self._emptied: asyncio.Future[None] | None = None
        self.set_protocol(protocol)
        protocol.connection_made(self)
        self.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol: Any = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol  # type: ignore[no-any-return]

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._file)

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.add_reader(self._file, self._receive)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = (_HIGH_WATER_BYTES if low is None else 4 * low) if high is None else high
        self._low = self._high // 4 if low is None else low
        if not 0 <= self._low <= self._high:
            raise ValueError(f"high ({high}) must not be lower than low ({low}), nor low than 0")

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return self._unsent_bytes

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send data, or keep what the client does not take at once."""
        if self._closing or not data:
            return
        view = memoryview(data).cast("B") if isinstance(data, memoryview) else memoryview(data)
        start = 0
        while not self._unsent and start < len(view):
            piece = view[start : start + _PIECE_BYTES]
            if not self._sent(piece):
                break
            start += len(piece)
        if start < len(view) and not self._closing:
            self._keep(view[start:])

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Send pieces of data as one."""
        self.write(b"".join(list_of_data))

    async def send_file(self, file: IO[bytes], position: int, size_bytes: int) -> int:
        """Send a part of a file. Wait whenever the client does not take more; other tasks run in between.

        Args:
            file: the file. Its own position is neither used nor moved.
            position: first byte.
            size_bytes: number of bytes.

        Returns:
            The number of bytes sent, which is less only if the file is shorter.

        Raises:
            ConnectionResetError: the client disconnected.
            OSError: the file cannot be read.
        """
        sent = 0
        with self._full_packets():
            while sent < size_bytes:
                await self._empty()
                read = os.preadv(file.fileno(), [_READ[: min(size_bytes - sent, _PIECE_BYTES)]], position + sent)
                if not read:
                    break
                self.write(_READ[:read])
                sent += read
            if self._unsent:  # the caller counts the file as sent, and may end the program
                await self._empty()
        return sent

    def close(self) -> None:
        """Send what is left, then end TLS and the connection."""
        if self._closing:
            return
        self.pause_reading()
        self._closing = True
        if not self._unsent:
            self._finish(None)

    def abort(self) -> None:
        """End the connection at once. The client can tell this from the end of TLS."""
        self._end(None)

    @contextmanager
    def _full_packets(self) -> Iterator[None]:
        """Let the kernel fill packets from several records. OpenSSL writes each record on its own."""
        with suppress(OSError):  # nothing to gain on a connection that is lost, or is not TCP
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        try:
            yield
        finally:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def _receive(self) -> None:
        received = 0
        try:
            # A record that is complete is passed on before the next one is waited for, so no data stays in OpenSSL.
            while received < _STEP_BYTES:
                size_bytes = self._socket.recv_into(_RECEIVED[received:], _RECORD_BYTES)
                if not size_bytes:
                    break
                received += size_bytes
                if size_bytes < _RECORD_BYTES:
                    size_bytes = -1  # probably the last one; the selector tells if not
                    break
        except ssl.SSLWantReadError:
            size_bytes = -1
        except ssl.SSLWantWriteError:
            # The answer of TLS to a new key of the client does not fit. The selector would call again without end.
            size_bytes = -1
            self._wait_for_room()
        except OSError as error:  # ssl.SSLError is an OSError
            self._end(error if isinstance(error, ConnectionError) else ConnectionResetError(str(error)))
            return
        if received:
            try:
                self._protocol.data_received(bytes(_RECEIVED[:received]))
            except BaseException:
                self.abort()
                raise
        if not size_bytes and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _sent(self, piece: memoryview) -> bool:
        """Pass a piece to OpenSSL. Return False if the client does not take all of it now, or has gone."""
        try:
            self._socket.send(piece)
        except ssl.SSLWantWriteError:
            return False
        except OSError as error:
            self._end(error if isinstance(error, ConnectionError) else ConnectionResetError(str(error)))
            return False
        return True

    def _keep(self, view: memoryview) -> None:
        # Copied, because the caller may change its buffer. The first piece keeps its length, as OpenSSL wants it.
        kept = memoryview(bytes(view))
        self._unsent.extend(kept[start : start + _PIECE_BYTES] for start in range(0, len(kept), _PIECE_BYTES))
        self._unsent_bytes += len(kept)
        self._loop.add_writer(self._file, self._send_more)
        if self._unsent_bytes > self._high and not self._writer_waits:
            self._writer_waits = True
            self._protocol.pause_writing()

    def _wait_for_room(self) -> None:
        """Receive nothing until the socket takes data again."""
        self._needs_room = True
        self._loop.remove_reader(self._file)
        self._loop.add_writer(self._file, self._send_more)

    def _send_more(self) -> None:
        """Send one piece of what is kept. Called when the socket takes data again."""
        if self._needs_room:
            self._needs_room = False
            if self._reading:
                self._loop.add_reader(self._file, self._receive)
            if not self._unsent:
                self._loop.remove_writer(self._file)
                return
        piece = self._unsent[0]
        if not self._sent(piece):
            return
        self._unsent.popleft()
        self._unsent_bytes -= len(piece)
        if not self._unsent:
            self._loop.remove_writer(self._file)
            self._wake()
        if self._unsent_bytes <= self._low and self._writer_waits:
            self._writer_waits = False
            self._protocol.resume_writing()
        if self._closing and not self._unsent:
            self._finish(None)

    async def _empty(self) -> None:
        """Wait until everything is sent. Other tasks run in any case."""
        if self._unsent:
            self._emptied = self._loop.create_future()
            try:
                await self._emptied
            finally:
                self._emptied = None
        else:
            await asyncio.sleep(0)
        if self._closing:
            raise ConnectionResetError("the client disconnected")

    def _wake(self) -> None:
        if self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def _finish(self, error: Exception | None) -> None:
        with suppress(OSError, ValueError):
            # Tells the client that nothing was cut off. Its own farewell is not waited for.
            self._socket.unwrap()
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self._lost:
            return
        self.pause_reading()
        self._loop.remove_writer(self._file)
        self._closing = self._lost = True
        self._unsent.clear()
        self._unsent_bytes = 0
        self._wake()
        self._loop.call_soon(self._leave, error)

    def _leave(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
