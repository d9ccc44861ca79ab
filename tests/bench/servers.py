"""Who is measured: ourselves, docker-registry and nginx, each as it runs in production, on content of the bench."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.bench.client import connected, push_blob, put_manifest
from tests.bench.content import REPOSITORY, TAG, Body
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin

OURS = "plugin-mirror"
REGISTRY = "docker-registry"
NGINX = "nginx"

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs on a port of 127.0.0.1; `pid` is the process that was started first.

    `config` is its configuration file and `data` its data folder, where a case needs them.
    """

    port: int
    pid: int
    config: Path | None = None
    data: Path | None = None

    def url(self, path: str) -> str:
        """The whole address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One side of a comparison. `serving` gives its server for the length of one measurement."""

    name: str
    serving: Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Content:
    """What a server holds before it is measured: one repository with a plugin and other blobs."""

    plugin: PackedPlugin
    others: Sequence[Body] = ()

    @property
    def blobs(self) -> Sequence[Body]:
        """All blobs."""
        return (Body.of(self.plugin.config), Body.of(self.plugin.layer), *self.others)


def running(name: str, server: Server) -> Contestant:
    """A contestant whose server runs all the time."""
    return Contestant(name, lambda: nullcontext(server))


@contextmanager
def mirror(content: Content, *, data: Path | None = None) -> Iterator[Server]:
    """Ourselves: two workers, access log to a file. `data`: another data folder than one of its own."""
    with Mirror(workers=WORKERS, data=data) as started:
        yield _filled(Server(started.port, known(started.pid)), content)


@contextmanager
def docker_registry(content: Content) -> Iterator[Server]:
    """Debian's docker-registry, with its descriptor cache in memory and its access log to a file."""
    with DockerRegistry(descriptor_cache=True) as started:
        yield _filled(Server(started.port, known(started.pid)), content)


@contextmanager
def nginx(content: Content) -> Iterator[Server]:
    """The practical limit: two workers that send the same bytes as static files, with an access log to a file."""
    with tempfile.TemporaryDirectory(prefix="static-") as made:
        folder = Path(made)
        _place_files(folder, content)
        with Nginx(_location(folder, content.plugin), workers=WORKERS) as started:
            yield Server(started.port, known(started.pid))


@contextmanager
def all_running(content: Content) -> Iterator[list[Contestant]]:
    """The three on the same content, or those of them that are installed."""
    with ExitStack() as stack:
        servers = {OURS: stack.enter_context(mirror(content))}
        if DockerRegistry.missing() is None:
            servers[REGISTRY] = stack.enter_context(docker_registry(content))
        if Nginx.missing() is None:
            servers[NGINX] = stack.enter_context(nginx(content))
        yield [running(name, server) for name, server in servers.items()]


@contextmanager
def each_fresh(content: Content) -> Iterator[list[Contestant]]:
    """Who can be written to, started anew for every measurement, so that none finds what another one has left."""
    contestants = [Contestant(OURS, lambda: mirror(content))]
    if DockerRegistry.missing() is None:
        contestants.append(Contestant(REGISTRY, lambda: docker_registry(content)))
    yield contestants


def missing_rivals() -> list[str]:
    """What must be installed for a whole comparison."""
    return [missing for missing in (DockerRegistry.missing(), Nginx.missing()) if missing]


def _filled(server: Server, content: Content) -> Server:
    with connected(server.port) as connection:
        for blob in content.blobs:
            push_blob(connection, blob)
        put_manifest(connection, content.plugin.manifest)
    return server


def _place_files(folder: Path, content: Content) -> None:
    root = folder / "v2" / REPOSITORY
    for name in ("blobs", "manifests"):
        (root / name).mkdir(parents=True)
    for target in (TAG, content.plugin.manifest_digest):
        (root / "manifests" / target).write_bytes(content.plugin.manifest)
    for body in content.blobs:
        with (root / "blobs" / body.digest).open("wb") as file:
            file.writelines(body.pieces())


def _location(folder: Path, plugin: PackedPlugin) -> str:
    """What stands in nginx's `location /`: files with the headers that our answers have."""
    return f"""root "{folder}"; types {{ }} default_type application/octet-stream;
        add_header Docker-Distribution-Api-Version registry/2.0;
        location ~ /manifests/ {{
            default_type {MANIFEST_TYPE};
            add_header Docker-Distribution-Api-Version registry/2.0;
            add_header Docker-Content-Digest {plugin.manifest_digest};
        }}
    """


def known(pid: int | None) -> int:
    """The process id of what runs."""
    if pid is None:
        raise RuntimeError("the server has not been started")
    return pid
