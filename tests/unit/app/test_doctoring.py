"""`doctor` on hosts with the troubles in docs/TROUBLESHOOTING.md: each with the engine's message, and with its fix."""

from __future__ import annotations

import json
import platform
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from mirror.app.hosts.doctoring import Diagnosis, DoctorQuestion, diagnose, question_of
from mirror.hosts.checks.host_check import HostCheck, Step
from mirror.hosts.engine_address import EngineAddress
from mirror.hosts.route import docker_files, route_connections
from mirror.hosts.route.route_facts import RegistryPlace
from mirror.oci import Digest, Reference, media_types
from mirror.oci.errors import ConfigurationFault, NameInvalid
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.registry.memory import MemoryRegistry
from tests.support.builders import push_image
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import LAYER, NAME, TAG, put_plugin
from tests.support.rootfs import SOCKET, elf
from tests.support.scripted_server import Reply, ScriptedServer
from tests.support.served import manifest_bytes, served

PAGE = (Path(__file__).parents[3] / "docs/TROUBLESHOOTING.md").read_text()
#: First column of the page's table of what engines say.
LISTED = re.findall(r"^\| `([^`]+)`", PAGE.partition("## On a Docker host")[2].partition("\n## ")[0], re.MULTILINE)
REALM = {"WWW-Authenticate": 'Bearer realm="{url}/token",service="mirror",scope="repository:acme/driver:pull"'}


class Quiet:
    """Somebody who waits and looks at nothing."""

    def tell(self, step: str) -> None:
        """Do nothing."""

    def expect(self, total_bytes: int) -> None:
        """Do nothing."""

    def advance(self, size_bytes: int) -> None:
        """Do nothing."""


@dataclass
class Host:
    """A Docker host whose engine is scripted.

    Attributes:
        folder: folder of the test, with the socket of the engine.
        docker: folder with `daemon.json` and `certs.d`.
        version: version of the engine.
        insecure: networks whose registries may use HTTP.
        said: message of the engine about the plugin; None if it reads it.
        environment: environment of the command.
    """

    folder: Path
    docker: Path
    version: str = "26.1.5"
    insecure: tuple[str, ...] = ("127.0.0.0/8",)
    said: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    async def asks(self, host: str, reference: str | None = f"{NAME}:{TAG}", **more: Any) -> Diagnosis:
        """Return what the doctor finds on the way to a registry, with the engine running."""
        engine = ScriptedServer()
        release = {"Version": self.version, "Os": "linux", "Arch": "amd64", "KernelVersion": platform.release()}
        engine.on("GET /version", Reply(body=json.dumps({"ApiVersion": "1.41", **release}).encode()))
        lists = {"InsecureRegistryCIDRs": list(self.insecure), "IndexConfigs": {}}
        info = {"DockerRootDir": str(self.folder), "RegistryConfig": lists, "DefaultRuntime": "runc"}
        engine.on("GET /v1.41/info", Reply(body=json.dumps(info).encode()))
        engine.on("GET /v1.41/plugins", Reply(body=b"null"))
        answer = Reply(500, json.dumps({"message": self.said or "nobody asked"}).encode())
        engine.on(f"GET /v1.41/distribution/{host}/{reference}/json", answer)
        async with engine.running(socket=self.folder / "engine.sock"):
            return await self.asks_without_engine(host, reference, **more)

    async def asks_without_engine(self, host: str, reference: str | None = None, **more: Any) -> Diagnosis:
        """Return the same with no engine at the socket."""
        named = None if reference is None else Reference.parse(f"{host}/{reference}")
        asked = DoctorQuestion(RegistryPlace.parse(host), named, EngineAddress(self.folder / "engine.sock"), **more)
        environment = {"DOCKER_CONFIG": str(self.folder), **self.environment}
        return await diagnose(asked, DEFAULT_LIMITS, environment, Quiet())

    def mirrors(self, *urls: str) -> None:
        """Write `registry-mirrors` into `daemon.json`."""
        (self.docker / "daemon.json").write_text(json.dumps({"registry-mirrors": urls}))

    def trusts(self, host: str, ca: trustme.CA) -> None:
        """Put the certificate of an authority where the engine looks for it."""
        folder = self.docker / "certs.d" / host
        folder.mkdir(parents=True)
        ca.cert_pem.write_to_path(folder / "ca.crt")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    (tmp_path / "docker").mkdir()
    monkeypatch.setattr(docker_files, "DOCKER_FOLDER", tmp_path / "docker")
    return Host(tmp_path, tmp_path / "docker")


@pytest.fixture
def closed() -> Iterator[str]:
    """Address of a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@asynccontextmanager
async def with_plugin(*layers: bytes, **members: Any) -> AsyncIterator[str]:
    """Serve a plugin over HTTP, and return the registry."""
    registry = MemoryRegistry()
    await put_plugin(registry, members, *layers)
    async with served(registry) as server:
        yield f"127.0.0.1:{server.port}"


@asynccontextmanager
async def with_tls(host: Host, *names: str, trusted: bool = True, **options: Any) -> AsyncIterator[str]:
    """Serve a plugin over TLS with a certificate for names, which the host trusts or not. HTTP is not allowed."""
    ca = trustme.CA()
    registry = MemoryRegistry()
    await put_plugin(registry)
    context = trustme_context(ca, *names, **options)
    host.insecure = ()
    async with served(registry, tls=context) as server:
        if trusted:
            host.trusts(f"127.0.0.1:{server.port}", ca)
        yield f"127.0.0.1:{server.port}"


def trustme_context(ca: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """Return the context of a server with a certificate for names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **options).configure_cert(context)
    return context


@asynccontextmanager
async def scripted(script: Mapping[str, Reply]) -> AsyncIterator[str]:
    """Serve a script over HTTP, with the URL of the server filled into headers."""
    server = ScriptedServer()
    async with server.running():
        for line, reply in script.items():
            headers = {name: value.replace("{url}", server.url) for name, value in reply.headers.items()}
            server.on(line, Reply(reply.status, reply.body, headers))
        yield f"127.0.0.1:{server.port}"


def said(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message, "detail": {}}]}).encode()


PING, TOKEN = "GET /v2/", "GET /token?service=mirror&scope=repository:acme/driver:pull"
MANIFEST = f"GET /v2/{NAME}/manifests/{TAG}"
SCOPES = "&scope=repository%28plugin%29:acme/driver:pull"


async def plain_http(host: Host) -> Diagnosis:
    host.insecure = ()
    async with with_plugin() as registry:
        return await host.asks(registry)


async def unknown_authority(host: Host) -> Diagnosis:
    async with with_tls(host, "127.0.0.1", trusted=False) as registry:
        return await host.asks(registry)


async def wrong_name(host: Host) -> Diagnosis:
    async with with_tls(host, "mirror.example") as registry:
        return await host.asks(registry)


async def expired(host: Host) -> Diagnosis:
    past = datetime.now(UTC) - timedelta(days=1)
    async with with_tls(host, "127.0.0.1", not_after=past) as registry:
        return await host.asks(registry)


async def no_client_certificate(host: Host) -> Diagnosis:
    ca, server = trustme.CA(), ScriptedServer()
    context = trustme_context(ca, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    host.insecure = ()
    async with server.running(tls=context):
        host.trusts(f"127.0.0.1:{server.port}", ca)
        return await host.asks(f"127.0.0.1:{server.port}")


async def no_such_host(host: Host) -> Diagnosis:
    return await host.asks("no.such.host.invalid:5000")


async def refused(host: Host) -> Diagnosis:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens
        return await host.asks(f"127.0.0.1:{nobody.getsockname()[1]}")


async def silent(host: Host) -> Diagnosis:
    with pytest.MonkeyPatch.context() as patched:

        async def no_answer(*_: object, **__: object) -> None:
            raise TimeoutError

        patched.setattr(route_connections.asyncio, "open_connection", no_answer)
        return await host.asks("192.0.2.1:5000", None)


async def not_found(host: Host) -> Diagnosis:
    async with with_plugin() as registry:
        host.insecure = ("127.0.0.0/8",)
        return await host.asks(registry, f"{NAME}:9.9")


async def no_login(host: Host) -> Diagnosis:
    asks = Reply(401, said("UNAUTHORIZED", "log in first"), {"WWW-Authenticate": 'Basic realm="mirror"'})
    async with scripted({PING: asks, MANIFEST: asks}) as registry:
        return await host.asks(registry)


async def no_right(host: Host) -> Diagnosis:
    asks = Reply(401, said("UNAUTHORIZED", "anonymous may not pull"), REALM)
    token = Reply(body=b'{"token": "t"}')
    async with scripted({PING: asks, MANIFEST: asks, f"{TOKEN}{SCOPES}": token}) as registry:
        return await host.asks(registry)


async def no_token(host: Host) -> Diagnosis:
    asks = Reply(401, b"", {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:9/token",service="mirror"'})
    async with scripted({PING: asks, MANIFEST: asks}) as registry:
        return await host.asks(registry)


async def denied(host: Host) -> Diagnosis:
    refuses = Reply(403, said("DENIED", "it asks for all devices"))
    async with scripted({PING: Reply(), MANIFEST: refuses}) as registry:
        return await host.asks(registry)


async def unavailable(host: Host) -> Diagnosis:
    async with scripted({PING: Reply(503, said("UNAVAILABLE", "the disk is full"))}) as registry:
        return await host.asks(registry)


async def an_image(host: Host) -> Diagnosis:
    registry = MemoryRegistry()
    await push_image(registry, "image", TAG.name, repository=NAME)
    async with served(registry) as server:
        return await host.asks(f"127.0.0.1:{server.port}")


async def no_blob(host: Host) -> Diagnosis:
    content = Reply(200, manifest_bytes(), {"Content-Type": media_types.DOCKER_MANIFEST})
    async with scripted({PING: Reply(), MANIFEST: content}) as registry:
        return await host.asks(registry)


async def wrong_diff_ids(host: Host) -> Diagnosis:
    host.version = "19.03.15"
    rootfs = {"type": "layers", "diff_ids": [str(Digest.of(LAYER))]}
    async with with_plugin(rootfs=rootfs) as registry:
        return await host.asks(registry)


async def other_machine(host: Host) -> Diagnosis:
    driver = elf(183) + SOCKET.encode()
    async with with_plugin(zipped(tar(entry("bin/driver", driver, mode=0o755)))) as registry:
        return await host.asks(registry)


#: By the message of the page: the host, the words of the check that finds the trouble, and its fix.
TROUBLES: dict[str, tuple[Callable[[Host], Awaitable[Diagnosis]], str, str]] = {
    "http: server gave HTTP response to HTTPS client": (
        plain_http,
        "insists on HTTPS",
        '"insecure-registries": ["127.',
    ),
    "x509: certificate signed by unknown authority": (unknown_authority, "does not trust", "/ca.crt"),
    "x509: certificate is valid for A, not B": (
        wrong_name,
        "is for mirror.example, and not for 127.0.0.1",
        "tls renew --san",
    ),
    "x509: certificate has expired or is not yet valid": (expired, "not valid at this time", "tls renew"),
    "tls: certificate required": (no_client_certificate, "wants a client certificate", "plugin-mirror tls client"),
    "no such host": (no_such_host, "no.such.host.invalid has no address", "/etc/hosts"),
    "connect: connection refused": (refused, "(Connection refused)", "server.listen"),
    "i/o timeout": (silent, "no answer within", "firewalls"),
    "NAME:TAG: not found": (not_found, "but not 9.9", "use a tag that is there, such as 1.0"),
    "no basic auth credentials": (no_login, "needs a login: log in first", "docker login 127.0.0.1:"),
    "insufficient_scope: authorization failed": (no_right, "needs a login: anonymous may not pull", "docker login"),
    "failed to fetch anonymous token": (no_token, "cannot be used: Connection refused", "server.url"),
    "403 Forbidden": (denied, "refuses", "plugin-mirror admission ls"),
    "503 Service Unavailable": (unavailable, "cannot serve now: the disk is full", "/readyz"),
    "did not find plugin config for specified reference": (an_image, "is an artifact, not a plugin", "docker pull"),
    "could not fetch content descriptor": (no_blob, "2 of 2 blobs cannot be read", "plugin-mirror scrub"),
    "layers from manifest don't match image configuration": (wrong_diff_ids, "diff_ids", ""),
    "dial unix …sock: no such file or directory": (other_machine, "the plugin is for linux/arm64", "for linux/amd64"),
}


def test_the_page_lists_the_troubles_that_are_tried_here() -> None:
    assert sorted(LISTED) == sorted(TROUBLES)


@pytest.mark.parametrize("message", TROUBLES)
async def test_a_trouble_of_the_page_is_found_with_its_fix(message: str, host: Host) -> None:
    trouble, told, fix = TROUBLES[message]
    found = await trouble(host)
    (first, *_) = [check for check in found.problems if told in check.text]
    assert fix in first.fix
    # The message is as a user sees it, unless the program that fails only later is the plugin itself.
    parts = [part for part in re.split(r"NAME:TAG|A, not B|dial .*", message) if part]
    assert all(part in f"{first.text}{first.fix}" for part in parts)


async def test_a_sound_way_has_no_problem(host: Host) -> None:
    async with with_plugin() as registry:
        host.said = None
        found = await host.asks(registry, None)
    assert found.problems == ()
    assert outcomes(found) == {"docker": "ok", "tcp": "ok", "http": "ok", "api": "ok"}


async def test_the_engine_itself_is_heard(host: Host) -> None:
    host.said = "Get https://…: its own words"
    async with with_plugin() as registry:
        found = await host.asks(registry, f"{NAME}:9.9")
    assert found.problems[-1].text == 'the engine of this host says: "Get https://…: its own words"'


async def test_an_engine_hides_the_error_behind_the_one_of_https(host: Host) -> None:
    for version, words in (("19.03.15", "manifest unknown"), ("26.1.5", "HTTP response to HTTPS client")):
        host.version = version
        async with with_plugin() as registry:
            found = await host.asks(registry, f"{NAME}:9.9")
        assert words in next(check.text for check in found.problems if check.name == "manifest")


async def test_a_trusted_certificate_is_enough(host: Host) -> None:
    async with with_tls(host, "127.0.0.1") as registry:
        found = await host.asks(registry, None)
    assert found.problems == ()
    assert outcomes(found)["tls"] == "ok"


async def test_a_list_that_the_engine_has_not_read_is_found(host: Host) -> None:
    host.insecure = ()
    async with with_plugin() as registry:
        (host.docker / "daemon.json").write_text(json.dumps({"insecure-registries": [registry]}))
        found = await host.asks(registry, None)
    assert next(check.fix for check in found.problems if check.name == "daemon") == "systemctl reload docker"


async def test_without_an_engine_its_files_decide(host: Host) -> None:
    async with with_plugin() as registry:
        (host.docker / "daemon.json").write_text("{ not JSON")
        found = await host.asks_without_engine(registry)
        assert outcomes(found) == {"docker": "unknown", "daemon": "warning", "tcp": "ok", "http": "ok", "api": "ok"}
        expected = await host.asks_without_engine(registry, names_engine=True)
        assert [check.name for check in expected.problems] == ["docker"]


async def test_without_an_engine_nothing_is_promised(host: Host) -> None:
    async with with_plugin() as registry:
        found = await host.asks_without_engine(registry, f"{NAME}:{TAG}")
    assert found.problems == ()
    assert {forecast.value for forecast in found.prediction.forecasts.values()} == {"not sure"}


async def test_without_an_engine_lint_names_the_engines_that_refuse_the_plugin(host: Host) -> None:
    rootfs = {"type": "layers", "diff_ids": [str(Digest.of(LAYER))]}
    async with with_plugin(rootfs=rootfs) as registry:
        some = await host.asks_without_engine(registry, f"{NAME}:{TAG}")
    async with with_plugin(b"neither tar nor gzip") as registry:
        every = await host.asks_without_engine(registry, f"{NAME}:{TAG}")
    told = [(check.outcome.value, check.text, check.fix) for check in lint(some)]
    (outcome, text, fix) = next(each for each in told if "diff_ids" in each[1])
    assert outcome == "warning"
    assert text.startswith("engines up to 19.03: diff_ids are the digests of the compressed layers: ")
    assert fix
    assert lint(every)[0].outcome.value == "problem"
    assert every.prediction.forecasts[Step.INSTALL].value == "no"


async def test_an_unknown_engine_allows_http_on_this_machine(host: Host) -> None:
    asked = EngineAddress(None, "127.0.0.1", 1)
    async with with_plugin() as registry:
        question = DoctorQuestion(RegistryPlace.parse(registry), Reference.parse(f"{registry}/{NAME}:9.9"), asked)
        found = await diagnose(question, DEFAULT_LIMITS, {"DOCKER_CONFIG": str(host.folder)}, Quiet())
    assert outcomes(found)["http"] == "ok"
    assert "which this engine hides" not in next(check.text for check in found.problems if check.name == "manifest")


async def test_a_name_of_docker_hub_goes_through_the_registry_mirror(host: Host, closed: str) -> None:
    async with with_plugin() as mirror:
        host.mirrors(f"http://{mirror}/")
        found = await host.asks_without_engine(closed, f"{NAME}:{TAG}", is_of_hub=True)
    assert found.problems == ()
    told = next(check.text for check in found.prediction.checks if check.name == "mirrors")
    assert told == (
        f"engines ask {mirror} first for {NAME}:{TAG}, because of registry-mirrors in daemon.json, and {mirror} has "
        "the plugin"
    )
    assert {"http": "ok", "manifest": "ok", "blobs": "ok"}.items() <= outcomes(found).items()


async def test_without_the_plugin_at_registry_mirrors_the_next_registry_is_asked(host: Host, closed: str) -> None:
    async with served(MemoryRegistry()) as empty, with_plugin() as registry:
        without = f"127.0.0.1:{empty.port}"
        host.mirrors(f"http://{without}", f"http://{closed}", "http://a..b:99999")
        found = await host.asks_without_engine(registry, f"{NAME}:{TAG}", is_of_hub=True)
    assert found.problems == ()
    told = [(check.text, check.fix) for check in found.prediction.checks if check.name == "mirrors"]
    assert [text.partition("; ")[2].partition("; engines say")[0] for text, _ in told] == [
        f"{without} does not have the plugin, so they ask the next registry",
        f"no connection to {closed} (Connection refused)",
        "",
    ]
    assert [fix.partition(" ")[0] for _, fix in told] == ["let", "start", "write"]


@pytest.mark.parametrize(("scheme", "outcome"), [("http", "ok"), ("https", "warning")])
async def test_an_engine_uses_the_scheme_of_a_registry_mirror(
    host: Host, closed: str, scheme: str, outcome: str
) -> None:
    async with with_plugin() as mirror:
        host.mirrors(f"{scheme}://{mirror}")
        found = await host.asks(closed, f"{NAME}:{TAG}", is_of_hub=True)
    assert outcomes(found)["mirrors"] == outcome
    fixes = [check.fix for check in found.prediction.checks if check.name == "mirrors"]
    assert fixes == ([""] if scheme == "http" else [f"write http://{mirror} in its place, and restart the engine"])


async def test_lint_reads_the_plugin_of_the_registry_mirror(host: Host, closed: str) -> None:
    async with with_plugin(Network={"Type": "bridge"}) as mirror:
        host.mirrors(f"http://{mirror}")
        found = await host.asks(closed, f"{NAME}:{TAG}", is_of_hub=True)
    fixes = [check.fix for check in found.prediction.checks if check.name == "warnings"]
    assert fixes == [f"plugin-mirror lint {mirror}/{NAME}:{TAG} --plain-http"]


@pytest.mark.parametrize("is_of_hub", [True, False])
async def test_another_name_does_not_go_through_a_registry_mirror(host: Host, closed: str, is_of_hub: bool) -> None:
    async with with_plugin() as registry:
        host.mirrors(f"http://{registry if is_of_hub else closed}")
        found = await host.asks_without_engine(registry, f"{NAME}:{TAG}", is_of_hub=is_of_hub)
    assert "mirrors" not in outcomes(found)


async def test_a_web_page_is_no_registry(host: Host) -> None:
    async with scripted({PING: Reply(body=b"<html>It works"), MANIFEST: Reply(body=b"<html>It works")}) as registry:
        found = await host.asks_without_engine(registry, f"{NAME}:{TAG}")
    assert [(check.name, check.text.endswith("/v2/ is a web page")) for check in found.problems] == [("api", True)]


async def test_the_fix_of_the_server_is_the_fix(host: Host) -> None:
    refuses = Reply(403, said("DENIED", "user anna may not pull acme/driver; fix: add her to access:"))
    async with scripted({PING: Reply(), MANIFEST: refuses}) as registry:
        found = await host.asks(registry)
    refused = next(check for check in found.problems if check.name == "manifest")
    assert refused.fix == "add her to access:"
    assert "user anna may not pull acme/driver" in refused.text
    assert "fix:" not in refused.text


async def test_a_stopped_engine_is_a_problem(host: Host) -> None:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(host.folder / "engine.sock"))  # the file stays when the engine has ended
    async with with_plugin() as registry:
        found = await host.asks_without_engine(registry, f"{NAME}:{TAG}")
    assert [check.name for check in found.problems] == ["docker"]
    assert {forecast.value for forecast in found.prediction.forecasts.values()} == {"no"}


async def test_a_login_of_docker_is_used(host: Host) -> None:
    (host.folder / "config.json").write_text("{}")
    asks = Reply(401, b"", {"WWW-Authenticate": 'Basic realm="mirror"'})
    async with scripted({PING: asks, MANIFEST: asks}) as registry:
        (host.folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": "YW5uYTpzZWNyZXQ="}}}))
        found = await host.asks(registry)
    assert "user anna may not pull" in next(check.text for check in found.problems if check.name == "manifest")
    assert "secret" not in "".join(check.text + check.fix for check in found.prediction.checks)


async def test_a_login_is_tried_where_no_plugin_is_named(host: Host) -> None:
    asks = Reply(401, b"", {"WWW-Authenticate": 'Basic realm="mirror"'})
    async with scripted({PING: asks}) as registry:
        found = await host.asks(registry, None)
        assert [check.name for check in found.problems] == ["login"]
        (host.folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": "YW5uYTpzZWNyZXQ="}}}))
        found = await host.asks(registry, None)
        assert "refuses that of user anna" in found.problems[0].text


@pytest.mark.parametrize(
    ("reference", "host", "authority", "asked"),
    [
        ("m:5000/a/b:1", None, "m:5000", "m:5000/a/b:1"),
        ("a/b:1", "m:5000", "m:5000", "m:5000/a/b:1"),
        ("a/b:1", None, "here:5000", "here:5000/a/b:1"),
        (None, "[::1]:5000", "[::1]:5000", "None"),
        ("docker.io/vieux/sshfs:latest", None, "registry-1.docker.io", "docker.io/vieux/sshfs:latest"),
    ],
)
def test_the_registry_is_named_by_the_reference_or_the_option(
    reference: str | None, host: str | None, authority: str, asked: str
) -> None:
    named = None if reference is None else Reference.parse(reference)
    found = question_of(named, host, EngineAddress(Path("/x")), "here:5000")
    assert (found.place.authority, str(found.reference)) == (authority, asked)


@pytest.mark.parametrize("text", ["a b", "m:port", "m:99999", "m:0", "user@m", "m/x", "http://m", "", "[::1", "::1:80"])
def test_a_text_that_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(NameInvalid, match="fix: write HOST or HOST:PORT"):
        RegistryPlace.parse(text)


def test_two_registries_are_one_too_many() -> None:
    with pytest.raises(ConfigurationFault, match="leave out one"):
        question_of(Reference.parse("m:5000/a:1"), "n:5000", EngineAddress(Path("/x")), "here:5000")


def lint(found: Diagnosis) -> list[HostCheck]:
    return [check for check in found.prediction.checks if check.name == "lint"]


def outcomes(found: Diagnosis) -> dict[str, str]:
    checks: tuple[HostCheck, ...] = found.prediction.checks
    return {check.name: check.outcome.value for check in checks}
