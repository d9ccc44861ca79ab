"""Many clients of one blob in one thread, against a scripted server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.client import WrongAnswerError
from tests.bench.crowd import take

BLOB = bytes(range(256)) * 4096


@contextmanager
def answering(*pieces: bytes) -> Iterator[int]:
    """Run a server that sends each client the same pieces, if possible in separate packets. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    for piece in pieces:
                        connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("cut", [5, 20, 45])
def test_each_client_is_timed_to_its_first_and_its_last_byte(cut: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + BLOB
    with answering(answer[:cut], answer[cut:]) as port:
        taken = take(port, "/blob", len(BLOB), clients=5)
    assert len(taken) == 5
    assert all(0 < each.first_byte_seconds <= each.seconds for each in taken)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "4 of 9 bytes"),
        (b"", "0 of 9 bytes"),
    ],
)
def test_an_answer_that_is_none_is_told(answer: bytes, told: str) -> None:
    with answering(answer) as port, pytest.raises(WrongAnswerError, match=told):
        take(port, "/blob", 9, clients=1)
