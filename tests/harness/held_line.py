"""A TCP proxy that stops in the middle of an answer until a test lets it go on."""

import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_CHUNK_BYTES = 16 * 1024


class HeldLine:
    """A port that forwards to another port of the same address, and holds answers after a number of bytes.

    A context manager: the port is open inside the block.

    Args:
        port: Port to forward to.
        hold_after_bytes: Bytes of the answers of one connection after which the line is held.
        address: Address of this machine.

    Attributes:
        held: Set when a connection is held.
        released: A test sets this event to let all connections go on.
    """

    def __init__(self, port: int, *, hold_after_bytes: int, address: str = "127.0.0.1") -> None:
        self.held, self.released = threading.Event(), threading.Event()
        line = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection((address, port)) as there:
                    asking = threading.Thread(target=_forward, args=(self.request, there), daemon=True)
                    asking.start()
                    line._answer(there, self.request, hold_after_bytes)
                    asking.join()

        self._server = socketserver.ThreadingTCPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="held line", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, source: socket.socket, target: socket.socket, hold_after_bytes: int) -> None:
        passed = 0
        with suppress(OSError):
            while passed < hold_after_bytes and (chunk := source.recv(_CHUNK_BYTES)):
                target.sendall(chunk)
                passed += len(chunk)
            if passed >= hold_after_bytes:
                self.held.set()
                self.released.wait()
        _forward(source, target)


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
