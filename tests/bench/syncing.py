"""Scheduled mirroring of many small plugins, into an empty registry and when nothing has changed.

The upstream is on this machine or behind a line with latency. With latency, the number of round trips matters most.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from tests.bench import client
from tests.bench.content import KIB, plugin
from tests.bench.sample import Outcome
from tests.bench.servers import OURS, WORKERS, Contestant, Server, known, running
from tests.bench.trial import Load, Trial
from tests.harness import skopeo
from tests.harness.docker_registry import DockerRegistry
from tests.harness.far_line import FarLine
from tests.harness.mirror import Mirror, plugin_mirror

SKOPEO = "skopeo sync"
#: Typical latency between a site and a registry on the same continent.
ROUND_TRIP_SECONDS = 0.04

#: Name of the figure that counts the requests to the upstream in one sync.
REQUESTS = "requests to the upstream"

_TAGS_EACH = 10
_LAYER_BYTES = 64 * KIB
_TIMEOUT_SECONDS = 600


def missing() -> str | None:
    """Return a sentence that names the missing package, or None if nothing is missing."""
    return DockerRegistry.missing() or skopeo.missing()


@contextmanager
def cold(*, plugins: int, round_trip_seconds: float = 0) -> Iterator[Trial]:
    """Yield a trial that copies everything into an empty registry.

    Ours copies into its own data folder, and skopeo copies into docker-registry.
    """
    with (
        _upstream(plugins) as (registry, names),
        _line(registry, round_trip_seconds) as upstream,
        tempfile.TemporaryDirectory(prefix="skopeo-") as folder,
    ):
        yield Trial(
            [
                Contestant(OURS, lambda: _mirror_of(upstream)),
                Contestant(SKOPEO, _registry),
            ],
            _sync(plugins),
            {SKOPEO: _skopeo_sync(_written(Path(folder), upstream, names), plugins)},
        )


@contextmanager
def unchanged(*, plugins: int, round_trip_seconds: float = 0) -> Iterator[Trial]:
    """Yield a trial of both programs after they have copied everything."""
    with cold(plugins=plugins, round_trip_seconds=round_trip_seconds) as trial, ExitStack() as stack:
        servers = [(contestant, stack.enter_context(contestant.serving())) for contestant in trial.contestants]
        for contestant, server in servers:
            trial.load_of(contestant)(server, 0)
        yield Trial([running(contestant.name, server) for contestant, server in servers], trial.load, trial.loads)


@contextmanager
def unchanged_tags(*, tags: int) -> Iterator[Trial]:
    """Yield a trial of one repository with many tags, each of another digest, which both programs have copied.

    The requests to the upstream are counted in its access log.
    """
    with _tagged(tags) as (upstream, names), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skopeo-")))
        ours = stack.enter_context(_mirror_of(upstream))
        theirs = stack.enter_context(_copy_of(upstream))
        load = _counted(upstream, _sync(tags))
        load(ours, 0)
        skopeo_load = _counted(upstream, _skopeo_sync(_written(folder, upstream, names), tags))
        yield Trial([running(OURS, ours), running(SKOPEO, theirs)], load, {SKOPEO: skopeo_load})


@contextmanager
def _tagged(tags: int) -> Iterator[tuple[DockerRegistry, list[tuple[str, str]]]]:
    """Start a registry with plugins that share config and layer, under one name. Yield the registry and the names."""
    names = [("bench/plugin", f"1.0.{number}") for number in range(tags)]
    with (
        DockerRegistry(descriptor_cache=True) as registry,
        client.connected(registry.port) as connection,
        tempfile.TemporaryDirectory(prefix="plugin-") as folder,
    ):
        packed = plugin(Path(folder), payload_size_bytes=_LAYER_BYTES)
        client.push_plugin(connection, packed, *names[0])
        for repository, tag in names:
            # Spaces after the JSON give each tag its own digest.
            manifest = packed.manifest + b" " * int(tag.rpartition(".")[2])
            client.put_manifest(connection, manifest, repository, tag)
        yield registry, names


@contextmanager
def _copy_of(registry: DockerRegistry) -> Iterator[Server]:
    """Start another registry with the content of a registry. To copy it with skopeo would take minutes."""
    with DockerRegistry(descriptor_cache=True) as started:
        shutil.copytree(registry.folder / "storage", started.folder / "storage", dirs_exist_ok=True)
        yield Server(started.port, known(started.pid))


def _counted(upstream: DockerRegistry, load: Load) -> Load:
    """Return a load whose outcome has the figure :data:`REQUESTS`."""

    def counted(server: Server, seconds: int) -> Outcome:
        before = upstream.requests
        outcome = load(server, seconds)
        return replace(outcome, figures={**outcome.figures, REQUESTS: upstream.requests - before})

    return counted


@contextmanager
def _upstream(plugins: int) -> Iterator[tuple[DockerRegistry, list[tuple[str, str]]]]:
    """Start a registry with different plugins and several tags in each repository. Yield the registry and the names."""
    names = [(f"bench/plugin{number // _TAGS_EACH}", f"1.0.{number % _TAGS_EACH}") for number in range(plugins)]
    with DockerRegistry(descriptor_cache=True) as registry, client.connected(registry.port) as connection:
        for number, (repository, tag) in enumerate(names):
            with tempfile.TemporaryDirectory(prefix="plugin-") as folder:
                # Another size for each plugin, so that no two share a layer.
                packed = plugin(Path(folder), payload_size_bytes=_LAYER_BYTES + number)
            client.push_plugin(connection, packed, repository, tag)
        yield registry, names


def _line(registry: DockerRegistry, round_trip_seconds: float) -> AbstractContextManager[DockerRegistry | FarLine]:
    """Return the upstream itself, or a line to the upstream with latency."""
    if not round_trip_seconds:
        return nullcontext(registry)
    return FarLine(registry.port, round_trip_seconds=round_trip_seconds)


@contextmanager
def _mirror_of(upstream: DockerRegistry | FarLine) -> Iterator[Server]:
    sections = {
        "upstreams": {"up": {"url": upstream.url, "plain_http": True}},
        "mirrors": [{"name": "all", "from": "up/bench/*", "to": "bench/*"}],
    }
    with Mirror(workers=WORKERS, sections=sections) as started:
        yield Server(started.port, known(started.pid), started.config)


@contextmanager
def _registry() -> Iterator[Server]:
    with DockerRegistry(descriptor_cache=True) as started:
        yield Server(started.port, known(started.pid))


def _sync(plugins: int) -> Load:
    """Return a load that runs `plugin-mirror sync` beside the server, on the server's data. Counts plugins."""

    def load(server: Server, _seconds: int) -> Outcome:
        arguments = ("sync", "--config", str(server.config))
        return _timed(lambda: plugin_mirror(*arguments, timeout_seconds=_TIMEOUT_SECONDS), plugins)

    return load


def _skopeo_sync(source: Path, plugins: int) -> Load:
    def load(server: Server, _seconds: int) -> Outcome:
        target = f"127.0.0.1:{server.port}/bench"
        return _timed(lambda: skopeo.sync(source, target, timeout_seconds=_TIMEOUT_SECONDS), plugins)

    return load


def _timed(work: Callable[[], object], plugins: int) -> Outcome:
    begin = time.monotonic()
    work()
    seconds = time.monotonic() - begin
    return Outcome(plugins, seconds, seconds, seconds)


def _written(folder: Path, upstream: DockerRegistry | FarLine, names: list[tuple[str, str]]) -> Path:
    """Write the file that tells skopeo which tags to copy, and return its path."""
    tags: dict[str, list[str]] = {}
    for repository, tag in names:
        tags.setdefault(repository, []).append(tag)
    path = folder / "sync.yml"
    # skopeo reads YAML, and JSON is valid YAML.
    path.write_text(json.dumps({upstream.host: {"tls-verify": False, "images": tags}}))
    return path
