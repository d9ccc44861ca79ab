"""Attacks on a server, each running for a given time in a separate process.

Attackers use another loopback address than the bystanders and ignore error responses. All attacks are module-level
functions, since only those can be pickled for the other process.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import count, cycle
from multiprocessing import get_context

from tests.bench import client
from tests.bench.content import Body
from tests.bench.hostile import EMPTY
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin

ADDRESS = "127.0.0.2"
ANSWERED = "answers to attackers"
TAKEN = "plugins of attackers taken"
OPENED = "connections opened"

#: Attacks the server on a port for a number of seconds and returns figures by name.
Attack = Callable[[int, float], Mapping[str, float]]

_NICE = 5
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Sent:
    """A request to send."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


@contextmanager
def apart() -> Iterator[Callable[..., Future[Mapping[str, float]]]]:
    """Start a process with low priority and yield its executor's `submit`, which runs an attack there."""
    with ProcessPoolExecutor(1, get_context("spawn"), os.nice, (_NICE,)) as process:
        process.submit(os.getpid).result()  # wait until the process runs, so that an attack begins at once
        yield process.submit


def idly(_port: int, seconds: float) -> Mapping[str, float]:
    """Do nothing, as the baseline of the other attacks."""
    time.sleep(seconds)
    return {}


def requests(port: int, seconds: float, *, sent: Sequence[Sent], clients: int = 1) -> Mapping[str, float]:
    """Send the requests repeatedly. Each client keeps its connection as long as the server does."""
    return _by(clients, port, seconds, lambda: cycle(sent))


def pulls_of_ever_other_tags(port: int, seconds: float, *, repository: str) -> Mapping[str, float]:
    """Request a new tag each time, which no cache can hold."""
    return _by(1, port, seconds, lambda: (Sent("GET", f"/v2/{repository}/manifests/{tag}") for tag in count()))


def manifest_puts(port: int, seconds: float, *, contents: Sequence[bytes], clients: int) -> Mapping[str, float]:
    """Push the manifests repeatedly, after the blob that they refer to if the server allows the push."""
    with client.connected(port, ADDRESS) as connection, suppress(client.WrongAnswerError):
        client.push_blob(connection, Body.of(EMPTY), "attack/manifests")
    headers = {"Content-Type": MANIFEST_TYPE}
    sent = [Sent("PUT", "/v2/attack/manifests/manifests/1", content, headers) for content in contents]
    return requests(port, seconds, sent=sent, clients=clients)


def plugin_pushes(port: int, seconds: float, *, plugins: Sequence[PackedPlugin], clients: int) -> Mapping[str, float]:
    """Push the plugins repeatedly. Each client has its own share of the plugins."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(_pushed, port, end, number, plugins[number::clients]) for number in range(clients)]
        told = [each for client_told in running for each in client_told.result()]
    return {ANSWERED: len(told), TAKEN: sum(told)}


def idle_connections(port: int, seconds: float, *, most: int) -> Mapping[str, float]:
    """Open up to `most` connections, send nothing, and keep them open."""
    # The soft limit for open files may be below `most`.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    end = time.monotonic() + seconds
    opened = 0
    with ExitStack() as stack:
        while opened < most and time.monotonic() < end:
            with suppress(OSError):
                made = socket.create_connection(("127.0.0.1", port), timeout=1, source_address=(ADDRESS, 0))
                stack.enter_context(closing(made))
                opened += 1
        time.sleep(max(0.0, end - time.monotonic()))
    return {OPENED: opened}


def _pushed(port: int, end: float, number: int, plugins: Sequence[PackedPlugin]) -> list[bool]:
    """Push plugins until `end`. Return True for each accepted push and False for each refused one."""
    told = []
    for packed in cycle(plugins):
        if time.monotonic() > end:
            break
        try:
            with client.connected(port, ADDRESS) as connection:
                client.push_plugin(connection, packed, f"attack/plugin{number}")
            told.append(True)
        except client.WrongAnswerError:
            told.append(False)
        except (OSError, HTTPException):
            continue
    return told


def _by(clients: int, port: int, seconds: float, sent: Callable[[], Iterator[Sent]]) -> Mapping[str, float]:
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(clients) as threads:
        running = [threads.submit(_answers, port, end, sent()) for _ in range(clients)]
        return {ANSWERED: sum(each.result() for each in running)}


def _answers(port: int, end: float, sent: Iterator[Sent]) -> int:
    """Send requests until `end` and return the number of responses. A closed connection is opened again."""
    answers = 0
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS, source_address=(ADDRESS, 0))
    with closing(connection):
        for each in sent:
            if time.monotonic() > end:
                break
            try:
                _send(connection, each)
                connection.getresponse().read()
                answers += 1
            except (OSError, HTTPException):
                connection.close()
    return answers


def _send(connection: HTTPConnection, sent: Sent) -> None:
    """Send a request.

    A broken connection is ignored here, since the server may have responded before it read the whole body.
    """
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request(sent.method, sent.path, sent.body, dict(sent.headers or {}))
