"""What clients and upstreams may try to stall a worker with, and how long others wait for `GET /v2/` meanwhile."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import socket
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from mirror.app.access import add_user
from mirror.store.catalog.tables import repositories
from mirror.store.registry import Store
from tests.bench import bystander, client
from tests.bench.content import GIB, MIB, Body
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import Contestant, Server, known
from tests.bench.trial import Load, Trial
from tests.harness.mirror import Mirror
from tests.harness.packing import packed_from

QUIET = "nothing else"
WORST_MS = "worst GET /v2/, ms"
WORST_PUSH_MS = "worst small push, ms"
SESSIONS = "folders of uploads"

_SECONDS = 6
_CLIENTS = 4
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_MANY_REPOSITORIES = 5000
_INFORMATIONAL = 200_000
_IDLE_CONNECTIONS = 2200
_USER, _PASSWORD = "reader", "a long enough password"

#: Loads a server for so many seconds; gives figures of its own.
Attack = Callable[[Server, float], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Scene:
    """An attack and the server that it needs: configuration, what is done to its data folder before, an upstream."""

    name: str
    attack: Attack
    sections: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda _data: None
    upstream: Callable[[], bytes] | None = None


@contextmanager
def trial() -> Iterator[Trial]:
    """One server of ours, fresh and with one worker, for each attack, and one that is left alone."""
    scenes = _scenes()
    loads = {scene.name: _load(scene.attack) for scene in scenes}
    yield Trial([Contestant(scene.name, partial(_serving, scene)) for scene in scenes], loads[QUIET], loads)


def _scenes() -> Sequence[Scene]:
    pull, push = {"server": {"anonymous": ["pull"]}}, {"server": {"anonymous": ["pull", "push"]}}
    readers = {
        "server": {"anonymous": []},
        "access": [{"users": [_USER], "repositories": [_repository(0)], "actions": ["pull"]}],
    }
    return (
        Scene(QUIET, _nothing),
        Scene("4 clients without rights PUT 4 MiB manifests", partial(_manifests, _dense_manifest), pull),
        Scene("4 clients PUT 4 MiB manifests, dense", partial(_manifests, _dense_manifest), push),
        Scene("4 clients PUT 4 MiB manifests, of 10 000 layers", partial(_manifests, _long_manifest), push),
        Scene("an upstream lists 1 000 000 tags", _listing, upstream=partial(_tags, b'"v%07d"', 1_000_000)),
        Scene(
            "an upstream lists 4 000 000 names that are no tags", _listing, upstream=partial(_tags, b'"-"', 4_000_000)
        ),
        Scene("two layers of 2 MB that unpack to 2 GiB are pushed", _bombs, push),
        Scene(f"_catalog?n=1 by who may read 1 of {_MANY_REPOSITORIES}", _catalog, readers, _fill),
        Scene(f"an upstream sends {_INFORMATIONAL} informational answers", _pulling, upstream=_informational),
        Scene("one connection opens uploads", _sessions, push),
        Scene(f"one client opens {_IDLE_CONNECTIONS} connections", _idle, pull),
    )


def _load(attack: Attack) -> Load:
    def load(server: Server, seconds: int) -> Outcome:
        length = max(seconds, _SECONDS)
        with bystander.watching(server.port, length) as seen:
            figures = attack(server, length)
        (waited,) = seen
        return Outcome(
            amount=len(waited.seconds),
            seconds=length,
            p50_seconds=percentile(waited.seconds, 50),
            p99_seconds=percentile(waited.seconds, 99),
            errors=waited.errors,
            figures={WORST_MS: 1e3 * max(waited.seconds), **figures},
        )

    return load


@contextmanager
def _serving(scene: Scene) -> Iterator[Server]:
    with ExitStack() as stack:
        sections = dict(scene.sections)
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attacked-"))) / "data"
        scene.prepare(data)
        if scene.upstream is not None:
            url = stack.enter_context(_answering(scene.upstream()))
            sections["upstreams"] = {"up": {"url": url, "plain_http": True}}
            sections["proxy"] = [{"from": "up/**", "to": "pulled/**"}]
        started = stack.enter_context(Mirror(data=data, sections=sections))
        yield Server(started.port, known(started.pid), data=data)


def _nothing(_server: Server, seconds: float) -> Mapping[str, float]:
    time.sleep(seconds)
    return {}


def _manifests(content: Callable[[], bytes], server: Server, seconds: float) -> Mapping[str, float]:
    head = f"PUT /v2/a/b/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Type: {_MANIFEST_TYPE}\r\n"
    request = f"{head}Content-Length: {len(content())}\r\n\r\n".encode() + content()
    _over_and_over(lambda: _sent(server.port, request), seconds)
    return {}


def _listing(server: Server, seconds: float) -> Mapping[str, float]:
    _over_and_over(partial(_got, server.port, "/v2/pulled/a/tags/list?n=1"), seconds, clients=1)
    return {}


def _pulling(server: Server, seconds: float) -> Mapping[str, float]:
    numbers = iter(range(10**6))
    _over_and_over(lambda: _got(server.port, f"/v2/pulled/a/manifests/{next(numbers)}"), seconds, clients=1)
    return {}


def _catalog(server: Server, seconds: float) -> Mapping[str, float]:
    login = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    _over_and_over(partial(_got, server.port, "/v2/_catalog?n=1", headers), seconds)
    return {}


def _sessions(server: Server, seconds: float) -> Mapping[str, float]:
    end = time.monotonic() + seconds
    with client.connected(server.port) as connection, suppress(OSError, HTTPException):
        while time.monotonic() < end:
            connection.request("POST", "/v2/a/b/blobs/uploads/", b"")
            connection.getresponse().read()
    if server.data is None:
        raise RuntimeError("the server has no data folder")
    return {SESSIONS: len(list((server.data / "uploads").iterdir()))}


def _idle(server: Server, seconds: float) -> Mapping[str, float]:
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        for _ in range(_IDLE_CONNECTIONS):
            with suppress(OSError):
                stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), timeout=1)))
        time.sleep(max(0.0, end - time.monotonic()))
    return {}


def _bombs(server: Server, seconds: float) -> Mapping[str, float]:
    """Push two, and something small over and over beside them until both are answered."""
    waited: list[float] = []
    pushes = [threading.Thread(target=_push, args=(server.port, f"bomb/{name}", _bomb(name))) for name in "ab"]
    for each in pushes:
        each.start()
    begun, number = time.monotonic(), 0
    while any(each.is_alive() for each in pushes) or time.monotonic() < begun + seconds:
        before, number = time.monotonic(), number + 1
        _push(server.port, "small/plugin", _small_layer(), description=str(number))
        waited.append(time.monotonic() - before)
        time.sleep(0.1)
        if time.monotonic() > begun + 10 * seconds:
            break
    return {WORST_PUSH_MS: 1e3 * max(waited)}


def _push(port: int, repository: str, layer: bytes, description: str = "") -> None:
    packed = packed_from(json.dumps({"Description": description, "Entrypoint": ["/x"]}).encode(), layer)
    with client.connected(port) as connection, suppress(client.WrongAnswerError):  # it may well be refused
        for blob in (packed.config, packed.layer):
            client.push_blob(connection, Body.of(blob), repository)
        client.put_manifest(connection, packed.manifest, repository)


def _over_and_over(act: Callable[[], None], seconds: float, clients: int = _CLIENTS) -> None:
    """Have clients do it again and again; what they are told does not matter."""
    end = time.monotonic() + seconds

    def run() -> None:
        while time.monotonic() < end:
            with suppress(OSError, HTTPException):
                act()

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def _sent(port: int, request: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=60)) as connection:
        connection.sendall(request)
        connection.recv(4096)


def _got(port: int, path: str, headers: Mapping[str, str] | None = None) -> None:
    with client.connected(port) as connection:
        connection.request("GET", path, headers=dict(headers or {}))
        connection.getresponse().read()


@cache
def _dense_manifest() -> bytes:
    """As many members as go into 4 MiB."""
    head = f'{{"schemaVersion": 2, "mediaType": "{_MANIFEST_TYPE}", "x": ['.encode()
    return head + b",".join([b"{}"] * ((4 * MIB - len(head) - 2) // 3)) + b"]}"


@cache
def _long_manifest() -> bytes:
    """As many layers as are read, and annotations up to 4 MiB."""
    digest = Body.of(b"").digest
    layer = {"mediaType": "application/x", "digest": digest, "size": 0, "annotations": {"a": "x" * 200}}
    return json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer] * 10_000}).encode()[: 4 * MIB]


def _tags(name: bytes, count: int) -> bytes:
    names = b",".join(name % number if b"%" in name else name for number in range(count))
    body = b'{"name": "a", "tags": [' + names + b"]}"
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _informational() -> bytes:
    return b"HTTP/1.1 102 Processing\r\n\r\n" * _INFORMATIONAL + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@cache
def _bomb(name: str) -> bytes:
    """A layer of 2 MB that unpacks to 2 GiB."""
    entry = tarfile.TarInfo(name)
    entry.size = 2 * GIB
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    pieces = [packer.compress(entry.tobuf())]
    zeros = bytes(MIB)
    pieces += [packer.compress(zeros) for _ in range(2 * GIB // MIB)]
    return b"".join([*pieces, packer.compress(bytes(1024)), packer.flush()])


@cache
def _small_layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _repository(number: int) -> str:
    return f"many/repository-{number:05}"


def _fill(data: Path) -> None:
    """Many repositories, and a user who may read one."""

    async def fill() -> None:
        async with Store.open(data) as store:
            await add_user(store, _USER, _PASSWORD)
            await store._catalog.write(insert_all)

    def insert_all(connection: Connection) -> None:
        connection.execute(
            insert(repositories), [{"name": _repository(number)} for number in range(_MANY_REPOSITORIES)]
        )

    asyncio.run(fill())


@contextmanager
def _answering(answer: bytes) -> Iterator[str]:
    """An upstream that answers every request with the same bytes and ends the connection; its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer_one, args=(connection,), daemon=True).start()

        def answer_one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                if connection.recv(65536):
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
