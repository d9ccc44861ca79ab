"""Real engines over plain HTTP, TLS and mTLS: who may install and push, and what the engine shows otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.harness import plugins
from tests.harness.command import CompletedRun
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.no_network import VERIFIED_ADDRESS as ADDRESS
from tests.harness.no_network import no_network
from tests.harness.ports import free_port
from tests.harness.requirement import require
from tests.harness.tls_files import TlsFiles, write_ca, write_client

pytestmark = pytest.mark.e2e

#: Names of the server on the engine's host. A folder of certs.d belongs to a name.
PLAIN, TLS, MTLS, UNTRUSTED = "plain.test", "tls.test", "mtls.test", "untrusted.test"
PASSWORD = "the pass:word of anna"
RULES = [
    {"users": ["anna", "builder"], "repositories": ["acme/**"], "actions": ["pull", "push"]},
    {"users": ["cert:CN=host-12"], "repositories": ["acme/**"], "actions": ["pull"]},
]
SEED = "acme/seed:1"
# Over plain HTTP, engines show the error of their first attempt, which is TLS.
_NOT_TLS = "server gave HTTP response to HTTPS client"
_NO_LOGIN = "insufficient_scope: authorization failed"
#: Words of an engine about a refusal, by name of the server, without and with a login.
REFUSED = {
    (PLAIN, False): _NOT_TLS,
    (PLAIN, True): _NOT_TLS,
    (TLS, False): _NO_LOGIN,
    (TLS, True): "403 Forbidden",
    (MTLS, False): _NO_LOGIN,
    (MTLS, True): "403 Forbidden",
}


@dataclass(frozen=True)
class Site:
    """A server that lets nobody do anything without a login or a client certificate.

    Attributes:
        mirror: The server, with TLS.
        plain_port: Port of its listener without TLS.
        ca: CA of its certificate.
        clients: CA of client certificates.
        secrets: Passwords by user. That of `builder` is an access token.
    """

    mirror: Mirror
    plain_port: int
    ca: trustme.CA
    clients: trustme.CA
    secrets: dict[str, str]

    def host(self, name: str) -> str:
        """Return the server under one of its names, as written in references."""
        return f"{name}:{self.plain_port if name == PLAIN else self.mirror.port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require(Engine.missing(), plugins.missing())
    folder, ca, clients = tmp_path_factory.mktemp("tls"), trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(str(folder / "clients.crt"))
    with no_network(ADDRESS):
        plain_port = free_port()
        tls = TlsFiles(folder, ca.issue_cert(PLAIN, TLS, MTLS, UNTRUSTED)).section
        server = {
            "anonymous": [],
            "tls": {**tls, "client_ca": str(folder / "clients.crt")},
            "plain": {"listen": f"{ADDRESS}:{plain_port}", "networks": [f"{ADDRESS}/32"]},
        }
        with Mirror(workers=2, address=ADDRESS, sections={"server": server, "access": RULES}) as mirror:
            mirror.command("pack", str(plugins.volume_plugin(folder / "seed")), "-t", SEED)
            for user in ("anna", "builder"):
                mirror.command("user", "add", user, "--password-stdin", input_text=f"{PASSWORD}\n")
            token = mirror.command("token", "create", "builder").stdout.strip()
            yield Site(mirror, plain_port, ca, clients, {"anna": PASSWORD, "builder": token})


@pytest.fixture(scope="module")
def engine(binaries: Path | None, site: Site) -> Iterator[Engine]:
    """An engine that knows the server by all of its names, and may speak plain HTTP to one of them only."""
    etc = {"hosts": f"{ADDRESS} {PLAIN} {TLS} {MTLS} {UNTRUSTED}\n"}
    with Engine(binaries=binaries, own_etc=etc, insecure_registries=[site.host(PLAIN)]) as engine:
        for name in (TLS, MTLS):
            write_ca(engine.etc / "docker/certs.d" / site.host(name), site.ca)
        write_client(engine.etc / "docker/certs.d" / site.host(MTLS), site.clients.issue_cert(common_name="host-12"))
        yield engine


@contextmanager
def logged_in(engine: Engine, host: str, user: str, password: str) -> Iterator[None]:
    arguments = ("login", "--username", user, "--password-stdin", host)
    assert "Login Succeeded" in engine.docker(*arguments, input_text=password).stdout
    try:
        yield
    finally:
        engine.docker("logout", host)


@contextmanager
def created(engine: Engine, reference: str, folder: Path) -> Iterator[None]:
    engine.docker("plugin", "create", reference, str(plugins.volume_plugin(folder)))
    try:
        yield
    finally:
        engine.docker("plugin", "rm", "-f", reference)


def require_refused(refused: CompletedRun, reason: str) -> None:
    assert refused.exit_code != 0
    assert reason in refused.stderr


def require_no_push(engine: Engine, reference: str, folder: Path, reason: str) -> None:
    with created(engine, reference, folder):
        require_refused(engine.docker("plugin", "push", reference, check=False), reason)


def install(engine: Engine, reference: str) -> CompletedRun:
    return engine.docker("plugin", "install", "--alias", "volumes", reference, check=False)


def require_installed(engine: Engine, reference: str) -> None:
    installed = install(engine, reference)
    assert installed.exit_code == 0, installed.stderr
    assert engine.inspect_plugin("volumes")["Enabled"] is True
    engine.docker("plugin", "rm", "-f", "volumes")


@pytest.mark.pairwise
@pytest.mark.parametrize("user", ["anonymous", "anna", "builder"])
@pytest.mark.parametrize("name", [PLAIN, TLS, MTLS])
def test_who_installs_and_pushes(engine: Engine, site: Site, name: str, user: str, tmp_path: Path) -> None:
    host, label = site.host(name), f"{user}-{name.partition('.')[0]}"
    own, foreign = f"{host}/acme/{label}:1", f"{host}/other/{label}:1"
    if user != "anonymous":
        with logged_in(engine, host, user, site.secrets[user]):
            with created(engine, own, tmp_path / "own"):
                engine.docker("plugin", "push", own)
            require_installed(engine, own)
            require_no_push(engine, foreign, tmp_path / "foreign", REFUSED[name, True])
        return
    if name == MTLS:
        require_installed(engine, f"{host}/{SEED}")
    else:
        require_refused(install(engine, f"{host}/{SEED}"), REFUSED[name, False])
    require_no_push(engine, own, tmp_path / "own", REFUSED[name, False])
