"""A client that asks at fixed times, against a server that stalls."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.bystander import PERIOD_SECONDS, watch

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answering(*pauses_seconds: float, ends_after: int | None = None) -> Iterator[int]:
    """A server that waits before its first answers; its port. It ends each connection after `ends_after` answers."""
    pauses = list(pauses_seconds)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                answered = 0
                with connection:
                    while connection.recv(4096):
                        time.sleep(pauses.pop(0) if pauses else 0)
                        connection.sendall(ANSWER)
                        answered += 1
                        if answered == ends_after:
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_every_request_that_waits_through_a_stall_counts_it() -> None:
    with answering(0, 0.5) as port:
        waited = watch(port, 0.6)
    assert waited.errors == 0
    assert len(waited.seconds) >= 0.6 / PERIOD_SECONDS
    assert sum(seconds > 0.2 for seconds in waited.seconds) > 10


def test_a_connection_that_ends_is_an_error_and_is_made_anew() -> None:
    with answering(ends_after=5) as port:
        waited = watch(port, 0.3)
    assert 0 < waited.errors < len(waited.seconds)
