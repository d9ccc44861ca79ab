"""An upstream that breaks every rule: the error for the caller, the stored content, and the log."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mirror.oci import Digest, Repository
from mirror.oci.errors import (
    CircuitOpen,
    ManifestUnknown,
    MirrorError,
    RepositoryUnknown,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from mirror.oci.media_types import DOCKER_MANIFEST
from mirror.store.registry import Store
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from mirror.upstream.registry import UpstreamRegistry
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.content import (
    BLOB,
    BLOB_PATH,
    CONFIG,
    DESCRIBED,
    DIGEST,
    MANIFEST,
    MANIFEST_DIGEST,
    REPOSITORY,
    ROOT,
    TAG,
    TAG_PATH,
    TYPED,
)

HERE = Repository("contiv/v2plugin")
GET_MANIFEST = f"GET {TAG_PATH}"
GET_BLOB = f"GET {BLOB_PATH}"
SIZE = len(BLOB)
MIB = 1024 * 1024
METADATA = "http://169.254.169.254/latest/meta-data/"
OTHER = bytes(SIZE)
LIE = "upstream broke the protocol"
LEFT_ALONE = "upstream circuit breaker opened"


def told(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the log events about an upstream above the level "debug", without those about further attempts."""
    events = [line["event"] for line in lines if line["log_level"] != "debug"]
    return [event for event in events if event.startswith("upstream") and not event.endswith("trying again")]


def manifest(**changes: object) -> bytes:
    return json.dumps(json.loads(MANIFEST) | changes).encode()


def part(start: int, body: bytes, *, then: str = "keep") -> Reply:
    place = f"bytes {start}-{SIZE - 1}/{SIZE}"
    return Reply(206, body, {"Content-Range": place}, length=SIZE - start, then=then)


def sends(line: str, *replies: Reply) -> Callable[[ScriptedServer], None]:
    return lambda server: server.on(line, *replies)


def with_head(blob: Reply, head: Reply) -> Callable[[ScriptedServer], None]:
    def prepare(server: ScriptedServer) -> None:
        server.on(GET_BLOB, blob)
        server.on(f"HEAD {BLOB_PATH}", head)

    return prepare


def says(raw: bytes) -> Callable[[ScriptedServer], None]:
    return lambda server: setattr(server, "raw", raw)


def wants_token(realm: str, *replies: Reply) -> Callable[[ScriptedServer], None]:
    def prepare(server: ScriptedServer) -> None:
        challenge = f'Bearer realm="{realm or server.url}/token"'
        server.on(GET_MANIFEST, Reply(401, headers={"WWW-Authenticate": challenge}))
        server.on(f"GET /token?scope=repository:{REPOSITORY}:pull", *replies)

    return prepare


@dataclass(frozen=True)
class Case:
    """A hostile upstream, and the expected outcome.

    Attributes:
        most_sent_bytes: largest number of bytes that the upstream may send before the connection ends.
    """

    name: str
    prepare: Callable[[ScriptedServer], None]
    error: type[MirrorError]
    text: str
    logged: tuple[str, ...] = (LIE,)
    most_sent_bytes: int = 4 * MIB


NOISE = Reply(200, b" ", TYPED, length=100_000_000, then="endless")
DEEP = b'{"schemaVersion": 2, "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
LAYERS = [json.loads(MANIFEST)["layers"][0]] * 20_000

MANIFESTS = [
    Case(
        "another digest than it says",
        sends(GET_MANIFEST, Reply(200, MANIFEST, {**TYPED, "Docker-Content-Digest": str(DIGEST)})),
        UpstreamProtocolError,
        "manifest has digest",
    ),
    Case(
        "a digest that is none",
        sends(GET_MANIFEST, Reply(200, MANIFEST, {**TYPED, "Docker-Content-Digest": "sha256:" + "x" * 5000})),
        UpstreamProtocolError,
        "is not a sha256 digest",
    ),
    Case(
        "another type",
        sends(GET_MANIFEST, Reply(200, MANIFEST, {"Content-Type": "text/html"})),
        UpstreamProtocolError,
        "is not the type of a manifest",
    ),
    Case("no type", sends(GET_MANIFEST, Reply(200, MANIFEST)), UpstreamProtocolError, "is not the type of a manifest"),
    Case("a web page", sends(GET_MANIFEST, Reply(200, b"<html>", TYPED)), UpstreamProtocolError, "not JSON"),
    Case(
        "100 MB",
        sends(GET_MANIFEST, NOISE),
        UpstreamProtocolError,
        "longer than 4194304 bytes",
        most_sent_bytes=12 * MIB,
    ),
    Case(
        "100 MB without a length",
        sends(GET_MANIFEST, replace(NOISE, length=-1)),
        UpstreamProtocolError,
        "longer than 4194304 bytes",
        most_sent_bytes=12 * MIB,
    ),
    Case("nested 200000 deep", sends(GET_MANIFEST, Reply(200, DEEP, TYPED)), UpstreamProtocolError, "not JSON"),
    Case(
        "a number of a million digits",
        sends(GET_MANIFEST, Reply(200, b'{"x": ' + b"9" * MIB + b"}", TYPED)),
        UpstreamProtocolError,
        "not JSON",
    ),
    Case(
        "20000 layers",
        sends(GET_MANIFEST, Reply(200, manifest(layers=LAYERS), TYPED)),
        UpstreamProtocolError,
        "20000 members",
        most_sent_bytes=8 * MIB,
    ),
    Case(
        "a layer of a negative size",
        sends(GET_MANIFEST, Reply(200, manifest(layers=[LAYERS[0] | {"size": -1}]), TYPED)),
        UpstreamProtocolError,
        "size",
    ),
    Case(
        "a layer with a path for a digest",
        sends(GET_MANIFEST, Reply(200, manifest(layers=[LAYERS[0] | {"digest": "sha256:../../../etc/passwd"}]), TYPED)),
        UpstreamProtocolError,
        "digest",
    ),
    Case(
        "compressed",
        sends(GET_MANIFEST, Reply(200, gzip.compress(MANIFEST), {**DESCRIBED, "Content-Encoding": "gzip"})),
        UpstreamProtocolError,
        "Content-Encoding",
    ),
    Case(
        "a manifest that stops half-way",
        sends(GET_MANIFEST, Reply(200, MANIFEST[:100], TYPED, length=len(MANIFEST), then="cut")),
        UpstreamUnreachable,
        "broke off",
        (),
    ),
    Case(
        "a manifest that stalls",
        sends(GET_MANIFEST, Reply(200, MANIFEST[:100], TYPED, length=len(MANIFEST), then="stall")),
        UpstreamUnreachable,
        "read timeout",
        (),
    ),
    Case(
        "a manifest that drips",
        sends(GET_MANIFEST, Reply(200, b"{", TYPED, length=100_000, then="drip")),
        UpstreamUnreachable,
        "almost no data",
        (),
    ),
    Case(
        "a redirect in a circle",
        sends(GET_MANIFEST, Reply(307, headers={"Location": TAG_PATH})),
        UpstreamProtocolError,
        "redirected too often",
    ),
    Case(
        "a redirect to metadata",
        sends(GET_MANIFEST, Reply(302, headers={"Location": METADATA})),
        UpstreamProtocolError,
        "a link-local address: not followed",
    ),
    Case(
        "a redirect to no host",
        sends(GET_MANIFEST, Reply(302, headers={"Location": "http://0.0.0.0/"})),
        UpstreamProtocolError,
        "an unspecified, multicast or reserved address",
    ),
    Case(
        "a redirect to a file",
        sends(GET_MANIFEST, Reply(302, headers={"Location": "file:///etc/passwd"})),
        UpstreamProtocolError,
        "not a valid URL",
    ),
    Case(
        "a token server among metadata",
        wants_token("http://169.254.169.254"),
        UpstreamProtocolError,
        "a link-local address",
    ),
    Case(
        "a token of 1 GB",
        wants_token("", Reply(200, b'{"token": "', length=10**9, then="endless")),
        UpstreamProtocolError,
        "longer than 65536 bytes",
        most_sent_bytes=8 * MIB,
    ),
    Case("a token nested deep", wants_token("", Reply(200, DEEP[:60_000])), UpstreamProtocolError, "not JSON"),
    Case(
        "a token with a line break",
        wants_token("", Reply(200, b'{"token": "a\\nX: y"}')),
        UpstreamProtocolError,
        "holds no token",
    ),
    Case(
        "a token that never helps",
        wants_token("", Reply(200, b'{"token": "abc"}')),
        UpstreamRefused,
        "answered 401",
        (),
    ),
    Case("429 for ever", sends(GET_MANIFEST, Reply(429)), UpstreamBusy, "answered 429", ()),
    Case(
        "429 with an hour",
        sends(GET_MANIFEST, Reply(429, headers={"Retry-After": "3600"})),
        UpstreamBusy,
        "answered 429",
        (),
    ),
    Case(
        "429 with a thousand years",
        sends(GET_MANIFEST, Reply(429, headers={"Retry-After": "31536000000"})),
        UpstreamBusy,
        "answered 429",
        (),
    ),
    Case("503 for ever", sends(GET_MANIFEST, Reply(503)), UpstreamBusy, "answered 503", ()),
    Case(
        "an endless error",
        sends(GET_MANIFEST, Reply(500, b"<", length=-1, then="endless")),
        UpstreamBusy,
        "answered 500",
        (),
        12 * MIB,
    ),
    Case(
        "a header of 1 MB",
        says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MIB + b"\r\n\r\n"),
        UpstreamProtocolError,
        "not HTTP",
    ),
    Case(
        "100000 headers",
        says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n"),
        UpstreamProtocolError,
        "not HTTP",
    ),
    Case(
        "200000 interim answers",
        says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200_000),
        UpstreamProtocolError,
        "more than 16 interim answers",
    ),
    Case(
        "a body in a million chunks",
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * MIB),
        UpstreamProtocolError,
        "bytes of framing",
    ),
    Case(
        "a gzip bomb in an error",
        sends(GET_MANIFEST, Reply(500, gzip.compress(bytes(64 * MIB)), {"Content-Encoding": "gzip"})),
        UpstreamBusy,
        "answered 500",
        (),
    ),
    Case("no HTTP", says(b"SSH-2.0-OpenSSH_9.2\r\n"), UpstreamProtocolError, "not HTTP: its first line is not"),
    Case("nothing at all", says(b""), UpstreamUnreachable, "closed without an answer", ()),
    Case(
        "two lengths",
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        UpstreamProtocolError,
        "not HTTP",
    ),
]

BLOBS = [
    Case("other bytes", sends(GET_BLOB, Reply(200, OTHER)), UpstreamProtocolError, "has digest"),
    Case("one bit turned", sends(GET_BLOB, Reply(200, BLOB[:-1] + b"\0")), UpstreamProtocolError, "has digest"),
    Case("another size", sends(GET_BLOB, Reply(200, BLOB + b"x")), UpstreamProtocolError, "the manifest gives", ()),
    Case(
        "a size beyond belief",
        sends(GET_BLOB, Reply(200, b"", length=10**17, then="stall")),
        UpstreamProtocolError,
        "the manifest gives",
        (),
    ),
    Case(
        "endless without a length",
        with_head(Reply(200, length=-1, then="endless"), Reply(200, BLOB)),
        UpstreamProtocolError,
        "longer than its 4096 bytes",
        most_sent_bytes=12 * MIB,
    ),
    Case(
        "short without a length",
        with_head(Reply(200, BLOB[:100], length=-1, then="cut"), Reply(200, BLOB)),
        UpstreamUnreachable,
        "broke off after 100 of 4096",
        (),
    ),
    Case(
        "cut at byte 1000 each time",
        sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="cut")),
        UpstreamUnreachable,
        "broke off",
        (),
    ),
    Case(
        "stalls at byte 1000 each time",
        sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="stall")),
        UpstreamUnreachable,
        "read timeout",
        (),
    ),
    Case(
        "drips",
        sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="drip")),
        UpstreamUnreachable,
        "almost no data",
        (),
    ),
    Case(
        "goes on with other bytes",
        sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="cut"), part(1000, OTHER[1000:])),
        UpstreamProtocolError,
        "has digest",
    ),
    Case(
        "goes on elsewhere",
        sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="cut"), part(500, BLOB[500:])),
        UpstreamProtocolError,
        "another part was sent",
    ),
    Case(
        "goes on without saying where",
        sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="cut"), Reply(206, BLOB[1000:])),
        UpstreamProtocolError,
        "without a valid Content-Range",
    ),
    Case(
        "has none of the rest",
        sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="cut"), Reply(416)),
        UpstreamProtocolError,
        "but no bytes from 1000 on",
    ),
    Case(
        "compressed",
        sends(GET_BLOB, Reply(200, gzip.compress(BLOB), {"Content-Encoding": "gzip"})),
        UpstreamProtocolError,
        "Content-Encoding",
    ),
    Case(
        "a redirect to metadata",
        sends(GET_BLOB, Reply(307, headers={"Location": METADATA})),
        UpstreamProtocolError,
        "a link-local address",
    ),
    Case("not there", sends(GET_BLOB, Reply(404)), MirrorError, "404", ()),
    Case("forbidden", sends(GET_BLOB, Reply(403)), UpstreamRefused, "403", ()),
    Case("503 for ever", sends(GET_BLOB, Reply(503)), UpstreamBusy, "503", ()),
]

COPED_WITH = {
    "no length at all": with_head(Reply(200, BLOB, length=-1, then="cut"), Reply(200, length=-1)),
    "503, then well": sends(GET_BLOB, Reply(503), Reply(503), Reply(200, BLOB)),
    "429 for a moment": sends(GET_BLOB, Reply(429, headers={"Retry-After": "0"}), Reply(200, BLOB)),
    "a 200 for a range": sends(GET_BLOB, Reply(200, BLOB[:1000], length=SIZE, then="cut"), Reply(200, BLOB)),
    "flapping all the time": sends(
        GET_BLOB,
        Reply(503),
        Reply(200, BLOB[:1000], length=SIZE, then="cut"),
        Reply(429),
        part(1000, BLOB[1000:2000], then="cut"),
        Reply(502),
        part(2000, BLOB[2000:]),
    ),
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened


def well(server: ScriptedServer) -> None:
    server.on(GET_MANIFEST, Reply(200, MANIFEST, DESCRIBED))
    server.on(f"GET {ROOT}/blobs/{Digest.of(CONFIG)}", Reply(200, CONFIG))
    server.on(GET_BLOB, Reply(200, BLOB))


async def copied(upstream: UpstreamRegistry, store: Store) -> None:
    await copy_graph(CopySource(upstream, REPOSITORY), TAG, CopyDestination(store, HERE), [TAG], SilentProgress())


async def nothing_wrong_is_stored(store: Store, data: Path) -> None:
    for target in (TAG, MANIFEST_DIGEST):
        with pytest.raises((ManifestUnknown, RepositoryUnknown)):
            await store.resolve(HERE, target)
    held = [path for path in (data / "blobs").rglob("*") if path.is_file()]
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in held)
    assert {path.name for path in held} <= {Digest.of(CONFIG).hex}
    # The bytes before the break are kept for a later download, which verifies them.
    for path in data.glob("uploads/*/data"):
        assert path.stat().st_size <= SIZE


@pytest.mark.parametrize("case", [*MANIFESTS, *BLOBS], ids=lambda case: case.name)
async def test_what_comes_of_it(
    case: Case, server: ScriptedServer, upstream: UpstreamRegistry, store: Store, tmp_path: Path
) -> None:
    well(server)
    case.prepare(server)
    with capture_logs() as lines, pytest.raises(case.error) as raised:
        await copied(upstream, store)
    assert case.text in str(raised.value)
    assert len(str(raised.value)) < 1000
    assert tuple(dict.fromkeys(told(lines))) == case.logged
    await nothing_wrong_is_stored(store, tmp_path / "data")
    assert server.sent_bytes <= case.most_sent_bytes


@pytest.mark.parametrize("prepare", COPED_WITH.values(), ids=COPED_WITH.keys())
async def test_what_is_coped_with(
    prepare: Callable[[ScriptedServer], None], server: ScriptedServer, upstream: UpstreamRegistry, store: Store
) -> None:
    well(server)
    prepare(server)
    await copied(upstream, store)
    assert (await store.get_manifest(HERE, TAG)).content == MANIFEST
    async with store.open_blob(HERE, DIGEST) as blob:
        assert b"".join([chunk async for chunk in blob]) == BLOB


async def test_after_any_lie_the_truth_is_taken(
    server: ScriptedServer, upstream: UpstreamRegistry, store: Store
) -> None:
    for case in BLOBS:
        well(server)
        case.prepare(server)
        with suppress(MirrorError):
            await copied(upstream, store)
    well(server)
    await copied(upstream, store)
    assert (await store.get_manifest(HERE, TAG)).content == MANIFEST


async def test_a_dead_gateway_is_left_alone_and_the_others_are_told_at_once(
    server: ScriptedServer, upstream: UpstreamRegistry, store: Store
) -> None:
    server.on(GET_MANIFEST, Reply(502))
    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises((UpstreamBusy, CircuitOpen)):
                await copied(upstream, store)
        asked = len(server.lines)
        with pytest.raises(CircuitOpen, match=r"no requests to .* since .* answered 502"):
            await copied(upstream, store)
    assert (asked, len(server.lines)) == (5, 5)
    assert told(lines) == [LEFT_ALONE]
    host = upstream.stats().hosts[0]
    assert (host.host, host.breaker.value) == (server.url, "open")
    assert DOCKER_MANIFEST in server.seen[0].headers["Accept"]
