"""A registry behind a real server on the loopback, and a client that sends exact bytes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from time import monotonic
from typing import Any

from mirror.access.client import ClientViews
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.media_types import DOCKER_LAYER_GZIP, DOCKER_MANIFEST, DOCKER_PLUGIN_CONFIG
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import Registry
from mirror.registry.streams import single_chunk
from mirror.runtime.metrics.metrics_exposition import expose, summed_metrics
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.server.api.health import Check
from mirror.server.api.request_metrics import FAMILIES, RequestMetrics
from mirror.server.forwarded import ForwardedHeaders
from mirror.server.http.activity import Activity
from mirror.server.http.server_limits import ServerLimits
from mirror.server.http_application import build
from mirror.server.http_server import Listener, listen, serving
from tests.support.certificates import OneContext

REPOSITORY = Repository("contiv/v2plugin")
CONFIG = b'{"Description":"a plugin"}\n'
LAYER = bytes(range(256)) * 300
TAG = Tag("1.0")


def digest(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def manifest_bytes(config: bytes = CONFIG, layers: Sequence[bytes] = (LAYER,), **members: Any) -> bytes:
    """Return a plugin's manifest as engines up to 19.03 write it: indented by three spaces, no newline at the end."""
    value = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": DOCKER_PLUGIN_CONFIG, "size": len(config), "digest": digest(config)},
        "layers": [{"mediaType": DOCKER_LAYER_GZIP, "size": len(layer), "digest": digest(layer)} for layer in layers],
        **members,
    }
    return json.dumps(value, indent=3).encode()


OCI_EMPTY = "application/vnd.oci.empty.v1+json"
MANIFEST = manifest_bytes()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["errors"][0]["code"])


@dataclass
class Connection:
    """A connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes | Sequence[bytes] = b""
    ) -> None:
        """Send a request. A sequence of pieces is sent chunked, and bytes are sent with their length unless empty."""
        lines = [f"{method} {target} HTTP/1.1", "Host: mirror", *(f"{name}: {value}" for name, value in headers)]
        if not isinstance(body, bytes):
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in body) + b"0\r\n\r\n"
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()

    async def receive(self, *, head: bool = False) -> Answer:
        status, headers = await self.receive_head()
        length = 0 if head or status in {100, 204, 304} else int(headers["Content-Length"])
        return Answer(status, headers, await self.reader.readexactly(length))

    async def receive_head(self) -> tuple[int, Message]:
        line, _, rest = (await self.reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        return int(line.split()[1]), message_from_bytes(rest)

    async def ended(self) -> bool:
        """Return True if the server ended the connection and sent nothing more."""
        return await self.reader.read() == b""


@dataclass
class Served:
    """A server under test."""

    port: int
    registry: Registry
    activity: Activity
    shared_metrics: SharedMetrics
    tls: ssl.SSLContext | None = field(default=None)

    @asynccontextmanager
    async def connect(self, address: str = "127.0.0.1") -> AsyncIterator[Connection]:
        """Open a connection from an address of this machine."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, local_addr=(address, 0))
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes | Sequence[bytes] = b""
    ) -> Answer:
        """Send one request on a connection of its own, as engines up to 19.03 do."""
        async with self.connect() as connection:
            await connection.send(method, target, [("Connection", "close"), *headers], body)
            answer = await connection.receive(head=method == "HEAD")
            assert await connection.ended()
            return answer

    async def begin_upload(self, repository: str = REPOSITORY.name) -> str:
        answer = await self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status == 202
        return str(answer.headers["Location"])


@asynccontextmanager
async def served(
    registry: Registry | None = None,
    limits: ServerLimits | None = None,
    readiness: dict[str, Check] | None = None,
    write_checks: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
    views: Sequence[ClientViews] = (),
    forwarded: ForwardedHeaders | None = None,
    now_seconds: Callable[[], float] = monotonic,
    content_sent: Callable[[Repository, int, int], None] = lambda _repository, _pulls, _size_bytes: None,
) -> AsyncIterator[Served]:
    registry = registry or MemoryRegistry()
    activity, shared_metrics = Activity.within(limits or ServerLimits(), now_seconds), SharedMetrics(FAMILIES)

    async def metrics(accept: str) -> tuple[str, bytes]:
        return expose(summed_metrics(shared_metrics), accept)

    application = build(
        registry,
        limits=limits,
        activity=activity,
        readiness=readiness,
        write_checks=write_checks,
        requests=RequestMetrics(shared_metrics.slot(), content_sent),
        metrics=metrics,
        views=views,
        forwarded=forwarded,
    )
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with serving(application, Listener(listener, None if tls is None else OneContext(tls))):
        yield Served(port, registry, activity, shared_metrics)


async def put_blob(registry: Registry, content: bytes, repository: Repository = REPOSITORY) -> Digest:
    upload = await registry.begin_upload(repository)
    await upload.append(single_chunk(content))
    return (await upload.commit(Digest.of(content))).digest


async def put_plugin(registry: Registry, repository: Repository = REPOSITORY, tag: Tag = TAG) -> Manifest:
    for content in (CONFIG, LAYER):
        await put_blob(registry, content, repository)
    manifest = Manifest.parse(MANIFEST, DOCKER_MANIFEST)
    await registry.put_manifest(repository, manifest, [tag])
    return manifest


async def until_held(server: Served, location: str, size_bytes: int) -> None:
    async with asyncio.timeout(30):
        while (await server.ask("GET", location)).headers["Range"] != f"0-{size_bytes - 1}":
            await asyncio.sleep(0.01)
