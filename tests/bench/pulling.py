"""Pull-through cases: many clients that pull a plugin which is not cached, and an upstream that does not respond."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench import client, crowd
from tests.bench.content import MIB, REPOSITORY, TAG, Bodies, Body, with_layer
from tests.bench.crowd import Taken
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import (
    OURS,
    REGISTRY,
    WORKERS,
    Content,
    Contestant,
    Server,
    known,
    mirror,
    running,
)
from tests.bench.trial import Load, Trial
from tests.harness.ageing import make_due
from tests.harness.black_hole import BlackHole
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import PackedPlugin
from tests.harness.readiness import wait_until

DIRECT = "one client, directly"
NO_RULE = f"{OURS}, no proxy rule"
UPSTREAM_COPIES = "times its size from the upstream"
FIRST_BYTE_MS = "first byte, ms"
LAST_FIRST_BYTE_MS = "last client's first byte, ms"
FIRST_PULL_MS = "first pull, ms"

_LINE_BYTES_PER_SECOND = 20_000_000
_QUIET_SECONDS = 0.5
_EARLIER_PULLS = 8


def missing() -> str | None:
    """Return a sentence that names the program missing for :func:`cold`, or None."""
    return DockerRegistry.missing() or Nginx.missing()


@contextmanager
def cold(packed: PackedPlugin, *, size_bytes: int, clients: int) -> Iterator[Trial]:
    """Yield a trial of our proxy, docker-registry as a proxy, and one client that pulls from the upstream directly.

    The proxies are restarted for each measurement. Before the measurement they serve some other plugins to the same
    number of clients, since a process that has done nothing yet is not typical of a site.
    """
    layer = Bodies(size_bytes).fresh()
    earlier = {f"earlier{number}": Bodies(MIB).fresh() for number in range(_EARLIER_PULLS)}
    with DockerRegistry(descriptor_cache=True) as registry:
        with client.connected(registry.port) as connection:
            for blob in (Body.of(packed.config), layer):
                client.push_blob(connection, blob)
            client.put_manifest(connection, with_layer(packed, layer))
            for tag, small in earlier.items():
                client.push_blob(connection, small)
                client.put_manifest(connection, with_layer(packed, small), tag=tag)
        with Nginx.front(registry.url, limit_rate_bytes_per_second=_LINE_BYTES_PER_SECOND) as front:
            yield Trial(
                [
                    Contestant(OURS, lambda: _mirror_of(front)),
                    Contestant(REGISTRY, lambda: _registry_of(front)),
                    running(DIRECT, Server(front.port, known(front.pid))),
                ],
                _pulls(front, layer, earlier, clients),
                {DIRECT: _pulls(front, layer, earlier, 1)},
            )


@contextmanager
def gone(packed: PackedPlugin, load: Load) -> Iterator[Trial]:
    """Yield a trial of our server with and without a proxy rule.

    With the rule, the plugin was pulled through, its tag is due for confirmation, and the upstream is a black hole.
    """
    with tempfile.TemporaryDirectory(prefix="warm-") as folder, BlackHole() as hole:
        data = Path(folder) / "data"
        with mirror(Content(packed)) as upstream, Mirror(data=data, sections=_sections(upstream.url(""))) as started:
            _pull(started.port)
            wait_until(lambda: not list((data / "uploads").iterdir()), "the plugin to be stored")
        make_due(data)
        with (
            Mirror(workers=WORKERS, data=data, sections=_sections(hole.url)) as warm,
            mirror(Content(packed)) as plain,
        ):
            servers = {OURS: Server(warm.port, known(warm.pid)), NO_RULE: plain}
            loads = {name: _after_first_pulls(server, load) for name, server in servers.items()}
            yield Trial([running(name, server) for name, server in servers.items()], load, loads)


@contextmanager
def _mirror_of(front: Nginx) -> Iterator[Server]:
    with Mirror(workers=WORKERS, sections=_sections(front.url)) as started:
        yield Server(started.port, known(started.pid))


@contextmanager
def _registry_of(front: Nginx) -> Iterator[Server]:
    with DockerRegistry(descriptor_cache=True, more={"proxy": {"remoteurl": front.url}}) as started:
        yield Server(started.port, known(started.pid))


def _sections(url: str) -> dict[str, Any]:
    return {"upstreams": {"up": {"url": url, "plain_http": True}}, "proxy": [{"from": "up/**", "to": "**"}]}


def _pulls(front: Nginx, layer: Body, earlier: Mapping[str, Body], clients: int) -> Load:
    """Return a load in which all clients pull a layer that is not cached. Counts MiB that the clients received.

    Some other plugins are pulled by their tags before.
    """

    def load(server: Server, _seconds: int) -> Outcome:
        for tag, small in earlier.items():
            _pull_at_once(server.port, tag, small, clients)
        _wait_for_quiet(front)
        sent_before_bytes = _sent_bytes(front, layer)
        begin = time.monotonic()
        taken = _pull_at_once(server.port, TAG, layer, clients)
        seconds = time.monotonic() - begin
        _wait_for_quiet(front)
        whole = [each.seconds for each in taken]
        first = [1e3 * each.first_byte_seconds for each in taken]
        return Outcome(
            amount=clients * layer.size_bytes / MIB,
            seconds=seconds,
            p50_seconds=percentile(whole, 50),
            p99_seconds=percentile(whole, 99),
            figures={
                UPSTREAM_COPIES: (_sent_bytes(front, layer) - sent_before_bytes) / layer.size_bytes,
                FIRST_BYTE_MS: percentile(first, 50),
                LAST_FIRST_BYTE_MS: max(first),
            },
        )

    return load


def _pull_at_once(port: int, tag: str, layer: Body, clients: int) -> Sequence[Taken]:
    """Pull the manifest and config once, and then the layer with all clients at the same time."""
    with client.connected(port) as connection:
        config = client.pull_manifest(connection, tag=tag)["config"]
        client.pull_blob(connection, client.new_buffer(), config["digest"], config["size"])
    return crowd.take(port, f"/v2/{REPOSITORY}/blobs/{layer.digest}", layer.size_bytes, clients=clients)


def _sent_bytes(front: Nginx, layer: Body) -> int:
    """Return how many bytes of a layer nginx has sent in finished responses, according to its access log."""
    line = re.compile(rf'"GET \S*/blobs/{layer.digest}\S* HTTP/1.1" \d+ (\d+)')
    return sum(int(found[1]) for found in line.finditer(front.access_log.read_text()))


def _wait_for_quiet(front: Nginx) -> None:
    """Wait until the upstream has finished and logged all responses."""
    seen, since = -1, time.monotonic()

    def is_quiet() -> bool:
        nonlocal seen, since
        size_bytes = front.access_log.stat().st_size
        if size_bytes != seen:
            seen, since = size_bytes, time.monotonic()
        return time.monotonic() - since > _QUIET_SECONDS

    wait_until(is_quiet, "the upstream to finish its responses")


def _after_first_pulls(server: Server, load: Load) -> Load:
    """Return `load` after some pulls that are not measured, with the duration of the first pull as a figure.

    The first client of a worker waits until the worker notices that the upstream does not respond.
    """
    begin = time.monotonic()
    _pull(server.port)
    first_ms = 1e3 * (time.monotonic() - begin)
    load(server, 2)  # each worker notices by itself that the upstream does not respond
    return lambda server, seconds: replace(load(server, seconds), figures={FIRST_PULL_MS: first_ms})


def _pull(port: int) -> None:
    with client.connected(port) as connection:
        client.pull_plugin(connection, client.new_buffer())
