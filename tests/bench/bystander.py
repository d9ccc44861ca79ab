"""`python -m tests.bench.bystander PORT SECONDS`: how long `GET /v2/` takes for a client who has nothing to do with it.

A process of its own, so that what loads the server does not hold it up. It asks at fixed times, and an answer is timed
from when its request was due: one long stall counts for every request that waited through it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

PERIOD_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0
#: Another address of this machine than those who load the server come from: another client.
ADDRESS = "127.0.0.2"
_REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: bystander\r\n\r\n"
_NICE = -10


@dataclass(frozen=True, slots=True)
class Waited:
    """What a bystander saw: seconds for each request, and requests that were not answered as they ought to be."""

    seconds: list[float]
    errors: int


@contextmanager
def watching(port: int, seconds: float) -> Iterator[list[Waited]]:
    """Have a bystander ask for so long, from now on; the list has what was seen when the block has ended."""
    seen: list[Waited] = []
    command = [sys.executable, "-m", "tests.bench.bystander", str(port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the bystander did not begin")
        yield seen
        told = json.loads(process.stdout.readline())
    seen.append(Waited(told["seconds"], told["errors"]))


def watch(port: int, seconds: float) -> Waited:
    """Ask every 20 ms, over a connection that is made anew where it was ended."""
    waited: list[float] = []
    errors = 0
    connection = _connected(port)
    print("ready", flush=True)
    due = begun = time.monotonic()
    try:
        while due < begun + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                errors += not _is_answered(connection)
            except OSError:
                errors += 1
                connection.close()
                connection = _connected(port)
            waited.append(time.monotonic() - due)
            due += PERIOD_SECONDS
    finally:
        connection.close()
    return Waited(waited, errors)


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS, source_address=(ADDRESS, 0))


def _is_answered(connection: socket.socket) -> bool:
    connection.sendall(_REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError("the server ended the connection")
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(4096)
    return head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 401"))


if __name__ == "__main__":
    with suppress(PermissionError):
        os.nice(_NICE)
    found = watch(int(sys.argv[1]), float(sys.argv[2]))
    print(json.dumps({"seconds": found.seconds, "errors": found.errors}), flush=True)
