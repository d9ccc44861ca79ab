"""How a server is loaded: each function gives a load, which takes a server and seconds and says what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench import client, head
from tests.bench.content import MIB, REPOSITORY, Bodies
from tests.bench.laps import run_laps, run_once
from tests.bench.sample import Outcome
from tests.bench.servers import Server
from tests.bench.trial import Load
from tests.harness import wrk

THREADS = 2
MANIFEST_CONNECTIONS = 32

_ANY_TAG = Path(__file__).with_name("any_tag.lua")
_SLOW_SECONDS = 60


def manifest_heads(target: str) -> Load:
    """HEAD of the manifest that `target`, a tag or digest, names, by our own generator; counts answers."""

    def load(server: Server, seconds: int) -> Outcome:
        return head.load(
            server.port,
            manifest_path(target),
            connections=MANIFEST_CONNECTIONS,
            threads=THREADS,
            seconds=seconds,
            headers=client.ACCEPT,
        )

    return load


def manifest_gets(target: str) -> Load:
    """GET of the manifest that `target` names, by wrk; counts answers."""
    return lambda server, seconds: _requests(_wrk(server, manifest_path(target), seconds, headers=client.ACCEPT))


def any_manifest_gets(tag_counts: Mapping[int, int]) -> Load:
    """GET of the manifest by any of the tags that `many_tags.add` made, by wrk; `tag_counts` by the server's port."""

    def load(server: Server, seconds: int) -> Outcome:
        count = str(tag_counts[server.port])
        done = _wrk(server, manifest_path(""), seconds, client.ACCEPT, script=_ANY_TAG, script_arguments=[count])
        return _requests(done)

    return load


def blob_gets(digest: str, *, connections: int) -> Load:
    """GET of one blob, by wrk; counts MiB, those of answers that were not complete in the end included."""

    def load(server: Server, seconds: int) -> Outcome:
        path = f"/v2/{REPOSITORY}/blobs/{digest}"
        done = _wrk(server, path, seconds, connections=connections, timeout_seconds=_SLOW_SECONDS)
        mib = done.bytes_per_second * done.seconds / MIB
        return Outcome(mib, done.seconds, done.p50_seconds, done.p99_seconds, _errors(done))

    return load


def plugin_pulls(*, clients: int) -> Load:
    """Whole plugins, each over a connection of its own; counts plugins."""

    def load(server: Server, seconds: int) -> Outcome:
        @contextmanager
        def puller() -> Iterator[Callable[[], None]]:
            buffer = client.new_buffer()

            def pull() -> None:
                with client.connected(server.port) as connection:
                    client.pull_plugin(connection, buffer)

            yield pull

        return run_laps(clients, seconds, puller).outcome(1)

    return load


def blob_pushes(bodies: Bodies, *, clients: int) -> Load:
    """A different blob each time, over one connection a client; counts MiB."""

    def load(server: Server, seconds: int) -> Outcome:
        @contextmanager
        def pusher() -> Iterator[Callable[[], None]]:
            with client.connected(server.port) as connection:
                yield lambda: client.push_blob(connection, bodies.fresh())

        return run_laps(clients, seconds, pusher).outcome(bodies.size_bytes / MIB)

    return load


def big_transfers(bodies: Bodies, digest: str, *, pulls: int, pushes: int) -> Load:
    """`pulls` of one blob and `pushes` of others, all at once and once each, however long it takes; counts MiB."""

    def load(server: Server, _seconds: int) -> Outcome:
        def pull() -> None:
            with client.connected(server.port) as connection:
                client.pull_blob(connection, client.new_buffer(), digest, bodies.size_bytes)

        def push() -> None:
            with client.connected(server.port) as connection:
                client.push_blob(connection, bodies.fresh())

        return run_once([pull] * pulls + [push] * pushes).outcome(bodies.size_bytes / MIB)

    return load


def manifest_path(target: str) -> str:
    """Where the manifest of a tag or digest is."""
    return f"/v2/{REPOSITORY}/manifests/{target}"


def _wrk(
    server: Server,
    path: str,
    seconds: int,
    headers: Mapping[str, str] | None = None,
    *,
    connections: int = MANIFEST_CONNECTIONS,
    timeout_seconds: int = 2,
    script: Path | None = None,
    script_arguments: Sequence[str] = (),
) -> wrk.Load:
    return wrk.load(
        server.url(path),
        connections=connections,
        threads=THREADS,
        seconds=seconds,
        headers=headers,
        timeout_seconds=timeout_seconds,
        script=script,
        script_arguments=script_arguments,
    )


def _requests(done: wrk.Load) -> Outcome:
    return Outcome(done.requests, done.seconds, done.p50_seconds, done.p99_seconds, _errors(done))


def _errors(done: wrk.Load) -> int:
    return done.socket_errors + done.http_errors
