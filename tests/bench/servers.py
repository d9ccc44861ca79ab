"""The servers of the comparison: plugin-mirror, docker-registry and nginx, configured as in production."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from ssl import SSLContext
from typing import Any

from tests.bench.client import connected, push_blob, put_manifest
from tests.bench.content import REPOSITORY, TAG, Body
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin
from tests.harness.server import Server as HarnessServer
from tests.support.certificates import CertificateFiles

OURS = "plugin-mirror"
REGISTRY = "docker-registry"
NGINX = "nginx"
PLAIN = f"{OURS}, no TLS"

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        port: Port on 127.0.0.1.
        pid: Process id of its first process.
        config: Configuration file, if a case needs the file.
        data: Data folder, if a case needs the folder.
        tls: TLS context of its clients, or None without TLS.
    """

    port: int
    pid: int
    config: Path | None = None
    data: Path | None = None
    tls: SSLContext | None = None

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}{path}"

    def connected(self) -> AbstractContextManager[HTTPConnection]:
        """Open a connection, with TLS if the server has it."""
        return connected(self.port, tls=self.tls)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One side of a comparison.

    Attributes:
        name: Name in the table.
        serving: Context manager that yields the server for one measurement.
    """

    name: str
    serving: Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Content:
    """Content of a server before the measurement: one repository with a plugin and other blobs."""

    plugin: PackedPlugin
    others: Sequence[Body] = ()

    @property
    def blobs(self) -> Sequence[Body]:
        """All blobs, including those of the plugin."""
        return (Body.of(self.plugin.config), Body.of(self.plugin.layer), *self.others)


def running(name: str, server: Server) -> Contestant:
    """Return a contestant whose server keeps running between measurements."""
    return Contestant(name, lambda: nullcontext(server))


@contextmanager
def mirror(
    content: Content,
    *,
    data: Path | None = None,
    sections: Mapping[str, Any] | None = None,
    tls: CertificateFiles | None = None,
) -> Iterator[Server]:
    """Start our server with two workers and an access log in a file.

    Args:
        content: Content that is pushed first.
        data: Data folder in place of a temporary one.
        sections: Further sections of the configuration.
        tls: Certificate and key for TLS, or None for a server without TLS. Also in the functions below.
    """
    if tls is not None:
        sections = {"server": {"tls": _paths(tls)}, **(sections or {})}
    with Mirror(workers=WORKERS, data=data, sections=sections) as started:
        yield _filled(_server(started, tls), content)


@contextmanager
def docker_registry(content: Content, tls: CertificateFiles | None = None) -> Iterator[Server]:
    """Start Debian's docker-registry with its descriptor cache in memory and its access log in a file."""
    more = None if tls is None else {"http": {"tls": _paths(tls)}}
    with DockerRegistry(descriptor_cache=True, more=more) as started:
        yield _filled(_server(started, tls), content)


@contextmanager
def nginx(content: Content, tls: CertificateFiles | None = None) -> Iterator[Server]:
    """Start nginx with two workers that send the same bytes as static files, as the practical limit of performance.

    The access log goes to a file.
    """
    with tempfile.TemporaryDirectory(prefix="static-") as made:
        folder = Path(made)
        _place_files(folder, content)
        pem = None if tls is None else _joined(tls)
        with Nginx(_location(folder, content.plugin), workers=WORKERS, certificate=pem) as started:
            yield _server(started, tls)


@contextmanager
def all_running(content: Content, tls: CertificateFiles | None = None) -> Iterator[list[Contestant]]:
    """Start all installed servers with the same content. With TLS, our server without TLS is one more."""
    # The order matters: reports compare the first server with the others.
    with ExitStack() as stack:
        servers = {OURS: stack.enter_context(mirror(content, tls=tls))}
        if DockerRegistry.missing() is None:
            servers[REGISTRY] = stack.enter_context(docker_registry(content, tls))
        if Nginx.missing() is None:
            servers[NGINX] = stack.enter_context(nginx(content, tls))
        if tls is not None:
            servers[PLAIN] = stack.enter_context(mirror(content))
        yield [running(name, server) for name, server in servers.items()]


@contextmanager
def each_fresh(content: Content, tls: CertificateFiles | None = None) -> Iterator[list[Contestant]]:
    """Yield the servers that accept pushes, as :func:`all_running` does.

    Each measurement starts a new server, so that none finds earlier content.
    """
    contestants = [Contestant(OURS, lambda: mirror(content, tls=tls))]
    if DockerRegistry.missing() is None:
        contestants.append(Contestant(REGISTRY, lambda: docker_registry(content, tls)))
    if tls is not None:
        contestants.append(Contestant(PLAIN, lambda: mirror(content)))
    yield contestants


def missing_rivals() -> list[str]:
    """Return sentences that name the packages missing for a full comparison."""
    return [missing for missing in (DockerRegistry.missing(), Nginx.missing()) if missing]


def _server(started: HarnessServer, tls: CertificateFiles | None) -> Server:
    return Server(started.port, known(started.pid), tls=None if tls is None else tls.trusting())


def _paths(files: CertificateFiles) -> Mapping[str, str]:
    return {"certificate": str(files.certificate), "key": str(files.key)}


def _joined(files: CertificateFiles) -> Path:
    """Write key and certificate to one file, beside the others."""
    file = files.key.with_suffix(".pem")
    file.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    return file


def _filled(server: Server, content: Content) -> Server:
    with server.connected() as connection:
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
    """Return the content of nginx's `location /`, which sends files with the same headers as our responses."""
    return f"""root "{folder}"; types {{ }} default_type application/octet-stream;
        add_header Docker-Distribution-Api-Version registry/2.0;
        location ~ /manifests/ {{
            default_type {MANIFEST_TYPE};
            add_header Docker-Distribution-Api-Version registry/2.0;
            add_header Docker-Content-Digest {plugin.manifest_digest};
        }}
    """


def known(pid: int | None) -> int:
    """Return the process id. Raises RuntimeError if the server is not started."""
    if pid is None:
        raise RuntimeError("the server has not been started")
    return pid
