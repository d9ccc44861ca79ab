"""An upstream on loopback that sends prepared responses of any size."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

#: Returns the whole response to a request for a path, as bytes. The connection is closed after the response.
Answers = Callable[[str], bytes]

_INFORMATIONAL = b"HTTP/1.1 103 Early Hints\r\n\r\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_MAX_REQUEST_BYTES = 65_536
_TIMEOUT_SECONDS = 120


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """Serve one request for each connection while the block runs, and yield the base URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        thread = threading.Thread(target=_serve, args=(listener, answers), name="upstream")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def listing(body: bytes) -> Answers:
    """Return responses with `body` as the only page of every tag list. Other requests get 404."""
    listed = _ok(body)
    return lambda path: listed if "/tags/list" in path else _NOT_FOUND


def informational(count: int) -> Answers:
    """Return responses with `count` interim responses before the final 404."""
    flood = _INFORMATIONAL * count + _NOT_FOUND
    return lambda _path: flood


def _ok(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def _serve(listener: socket.socket, answers: Answers) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, answers), daemon=True).start()


def _answer(connection: socket.socket, answers: Answers) -> None:
    """Send the response. Errors are ignored, since the client may close the connection early."""
    connection.settimeout(_TIMEOUT_SECONDS)
    with connection, suppress(OSError):
        request = connection.recv(_MAX_REQUEST_BYTES)
        if request:
            connection.sendall(answers(request.split(b" ", 2)[1].decode()))
