"""Attacking clients against a server that records their requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mirror.store.registry import Store
from mirror.wire.pagination import PageRequest
from tests.bench import attackers, many_repositories
from tests.bench.attackers import ANSWERED, OPENED, TAKEN, Sent
from tests.bench.hostile import plugins
from tests.support.quiet_http import QuietHTTPServer


class Noting(BaseHTTPRequestHandler):
    """A server that records its clients and requests, and may end a connection after some answers."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str]]
    status_of_manifests = 201
    ends_after: int | None = None

    def setup(self) -> None:
        super().setup()
        self._answered = 0

    def handle_one_request(self) -> None:
        super().handle_one_request()
        self._answered += 1
        self.close_connection = self.close_connection or self._answered == self.ends_after

    def _answer(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.seen.append((self.client_address[0], self.command, self.path))
        status = {"POST": 202, "PUT": self.status_of_manifests if "/manifests/" in self.path else 201}
        self.send_response(status.get(self.command, 200))
        self.send_header("Location", "/v2/upload")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def serving(
    status_of_manifests: int = 201, ends_after: int | None = None
) -> Iterator[tuple[int, list[tuple[str, str, str]]]]:
    seen: list[tuple[str, str, str]] = []
    members = {"seen": seen, "status_of_manifests": status_of_manifests, "ends_after": ends_after}
    handler = type("Handler", (Noting,), members)
    with QuietHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()


def test_requests_are_sent_over_and_over_from_an_address_of_their_own() -> None:
    with serving(ends_after=2) as (port, seen):
        told = attackers.requests(port, 1, sent=[Sent("GET", "/a"), Sent("PUT", "/b", b"x" * 1000)], clients=2)
    assert told == {ANSWERED: len(seen)}
    assert {each[1:] for each in seen} == {("GET", "/a"), ("PUT", "/b")}
    assert {address for address, _, _ in seen} == {attackers.ADDRESS}
    assert len(seen) > 2 * 2  # each client reconnects when its connection ends


def test_no_tag_is_asked_for_twice() -> None:
    with serving() as (port, seen):
        attackers.pulls_of_ever_other_tags(port, 1, repository="a/b")
    assert len({path for _, _, path in seen}) == len(seen) > 0


def test_manifests_are_put_after_what_they_name() -> None:
    with serving() as (port, seen):
        attackers.manifest_puts(port, 1, contents=[b"{}"], clients=1)
    assert [(method, path.partition("?")[0]) for _, method, path in seen[:3]] == [
        ("POST", "/v2/attack/manifests/blobs/uploads/"),
        ("PUT", "/v2/upload"),
        ("PUT", "/v2/attack/manifests/manifests/1"),
    ]


@pytest.mark.parametrize(("status", "taken"), [(201, True), (400, False)])
def test_plugins_that_are_refused_are_answers_too(status: int, taken: bool) -> None:
    with serving(status) as (port, _):
        told = attackers.plugin_pushes(port, 1, plugins=plugins(2, unpacked_bytes=1024), clients=2)
    assert told[ANSWERED] >= 2
    assert told[TAKEN] == (told[ANSWERED] if taken else 0)


def test_connections_are_opened_and_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert attackers.idle_connections(listener.getsockname()[1], 1, most=3) == {OPENED: 3}


def test_an_attack_is_done_in_a_process_of_its_own() -> None:
    with serving() as (port, seen), attackers.apart() as submit:
        attack = partial(attackers.requests, sent=[Sent("GET", "/a")])
        assert submit(attack, port, 1.0).result() == {ANSWERED: len(seen)}


async def test_many_repositories_are_listed(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        many_repositories.add(tmp_path, 5)
        page = await store.list_repositories(PageRequest())
    assert [str(repository) for repository in page.entries] == [many_repositories.name(number) for number in range(5)]
