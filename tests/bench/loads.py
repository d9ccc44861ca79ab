"""Load generators: each function returns a load, which takes a server and a duration and returns the outcome."""

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
    """Return a load of manifest HEAD requests by tag or digest, sent by our own generator. Counts responses."""

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
    """Return a load of manifest GET requests by tag or digest, sent by wrk. Counts responses."""
    return lambda server, seconds: _requests(_wrk(server, manifest_path(target), seconds, headers=client.ACCEPT))


def any_manifest_gets(tag_counts: Mapping[int, int]) -> Load:
    """Return a load of manifest GET requests by random tags of `many_tags.add`, sent by wrk. Counts responses.

    Args:
        tag_counts: Number of tags of each server, by port.
    """

    def load(server: Server, seconds: int) -> Outcome:
        count = str(tag_counts[server.port])
        done = _wrk(server, manifest_path(""), seconds, client.ACCEPT, script=_ANY_TAG, script_arguments=[count])
        return _requests(done)

    return load


def blob_gets(digest: str, *, connections: int) -> Load:
    """Return a load of GET requests for one blob, sent by wrk. Counts MiB, including those of incomplete responses."""

    def load(server: Server, seconds: int) -> Outcome:
        path = f"/v2/{REPOSITORY}/blobs/{digest}"
        done = _wrk(server, path, seconds, connections=connections, timeout_seconds=_SLOW_SECONDS)
        mib = done.bytes_per_second * done.seconds / MIB
        return Outcome(mib, done.seconds, done.p50_seconds, done.p99_seconds, _errors(done))

    return load


def plugin_pulls(*, clients: int) -> Load:
    """Return a load of whole plugin pulls, each over a new connection. Counts plugins."""

    def load(server: Server, seconds: int) -> Outcome:
        @contextmanager
        def puller() -> Iterator[Callable[[], None]]:
            buffer = client.new_buffer()

            def pull() -> None:
                with server.connected() as connection:
                    client.pull_plugin(connection, buffer)

            yield pull

        return run_laps(clients, seconds, puller).outcome(1)

    return load


def blob_pushes(bodies: Bodies, *, clients: int) -> Load:
    """Return a load of pushes of different blobs, over one connection for each client. Counts MiB."""

    def load(server: Server, seconds: int) -> Outcome:
        @contextmanager
        def pusher() -> Iterator[Callable[[], None]]:
            with server.connected() as connection:
                yield lambda: client.push_blob(connection, bodies.fresh())

        return run_laps(clients, seconds, pusher).outcome(bodies.size_bytes / MIB)

    return load


def big_transfers(bodies: Bodies, digest: str, *, pulls: int, pushes: int) -> Load:
    """Return a load of pulls of one blob and pushes of others. Counts MiB.

    All transfers run once and at the same time, for as long as they take.
    """

    def load(server: Server, _seconds: int) -> Outcome:
        def pull() -> None:
            with server.connected() as connection:
                client.pull_blob(connection, client.new_buffer(), digest, bodies.size_bytes)

        def push() -> None:
            with server.connected() as connection:
                client.push_blob(connection, bodies.fresh())

        return run_once([pull] * pulls + [push] * pushes).outcome(bodies.size_bytes / MIB)

    return load


def manifest_path(target: str) -> str:
    """Return the URL path of a manifest by tag or digest."""
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
