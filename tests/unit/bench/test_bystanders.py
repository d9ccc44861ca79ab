"""Clients that send requests at fixed times, against servers that stall, end connections, or send wrong answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench import compiled
from tests.bench.bystanders import Waited, asking, parse
from tests.harness.ports import free_port
from tests.harness.requirement import require

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SECONDS, INTERVAL_MS = 0.4, 10
ASKED_BY_EACH = 40


class Scripted:
    """A server with one answer.

    Attributes:
        answer: bytes sent for each request.
        pauses_seconds: waits before the first answers.
        ends_after: number of answers after which the server ends a connection; None: never.
    """

    def __init__(self, answer: bytes, pauses_seconds: tuple[float, ...], ends_after: int | None) -> None:
        self._answer = answer
        self._pauses_seconds = list(pauses_seconds)
        self._ends_after = ends_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []

    def serve(self) -> None:
        """Accept connections until :meth:`end` is called."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def end(self) -> None:
        """Accept no more connections, and end the open ones."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self.connections:
            each.close()

    def _talk(self, connection: socket.socket) -> None:
        answered = 0
        try:
            while connection.recv(4096):
                if self._pauses_seconds:
                    time.sleep(self._pauses_seconds.pop(0))
                connection.sendall(self._answer)
                answered += 1
                if answered == self._ends_after:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
        except OSError:
            return


@contextmanager
def answering(answer: bytes = ANSWER, *pauses_seconds: float, ends_after: int | None = None) -> Iterator[Scripted]:
    server = Scripted(answer, pauses_seconds, ends_after)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join()


@pytest.fixture(autouse=True)
def _compiler() -> None:
    require(compiled.missing())


def asked(server: Scripted, *, clients: int = 1, kept: bool = True, patience_seconds: float = 30) -> Waited:
    with asking(
        server.port,
        seconds=SECONDS,
        clients=clients,
        kept=kept,
        interval_ms=INTERVAL_MS,
        patience_seconds=patience_seconds,
    ) as waited:
        return waited()


def test_each_client_asks_at_every_time_that_it_must() -> None:
    with answering() as server:
        waited = asked(server, clients=2)
    assert (waited.asked, waited.errors) == (2 * ASKED_BY_EACH, 0)
    assert len(server.connections) == 2
    assert 0 < waited.p50_seconds <= waited.p99_seconds <= waited.worst_seconds


def test_every_request_that_is_due_during_a_stall_counts_it() -> None:
    with answering(ANSWER, 0, 1.0) as server:
        waited = asked(server)
    assert (waited.asked, waited.errors) == (ASKED_BY_EACH, 0)
    assert waited.worst_seconds >= 1.0
    # All but the first become due during the stall, half of them within its first 0.2 s.
    assert waited.p50_seconds >= 0.7


def test_what_is_not_answered_counts_with_the_time_it_has_waited() -> None:
    with answering(ANSWER, 60) as server:
        waited = asked(server, patience_seconds=0.1)
    assert (waited.asked, waited.unanswered) == (ASKED_BY_EACH, ASKED_BY_EACH)
    assert waited.worst_seconds >= SECONDS + 0.1


def test_a_connection_that_ends_is_made_anew() -> None:
    with answering(ends_after=5) as server:
        waited = asked(server)
    assert waited.asked == ASKED_BY_EACH
    assert waited.broken <= ASKED_BY_EACH / 5
    assert len(server.connections) >= 5


def test_those_who_keep_no_connection_make_one_for_each_request() -> None:
    with answering() as server:
        waited = asked(server, kept=False)
    assert (waited.asked, waited.errors, len(server.connections)) == (ASKED_BY_EACH, 0, ASKED_BY_EACH)


@pytest.mark.parametrize(
    ("answer", "wrong", "broken"),
    [
        (ANSWER.replace(b"200", b"503"), ASKED_BY_EACH, 0),
        (b"HTTP/1.1 200 OK\r\n\r\n", 0, ASKED_BY_EACH),
        (b"no HTTP\r\n\r\n", 0, ASKED_BY_EACH),
    ],
)
def test_another_answer_is_an_error(answer: bytes, wrong: int, broken: int) -> None:
    with answering(answer) as server:
        waited = asked(server)
    assert (waited.asked, waited.wrong, waited.broken) == (ASKED_BY_EACH, wrong, broken)


def test_where_nothing_listens_they_do_not_begin(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="no server listens"), asking(free_port(), seconds=0.1):
        pass
    assert "Connection refused" in capfd.readouterr().err


def test_a_report_is_read() -> None:
    assert parse("80 1 2 3 0.0001 0.001 0.01 0.1\n") == Waited(80, 1, 2, 3, 0.0001, 0.001, 0.01, 0.1)


@pytest.mark.parametrize("text", ["", "0 0 0 0 0 0 0 0\n", "1 2 3\n", "a b c d e f g h"])
def test_a_report_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)
