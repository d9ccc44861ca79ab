"""The file for nginx, run by Debian's nginx with TLS: pushes, pulls, ranges, resumed uploads, and who the client is."""

import hashlib
import http.client
import random
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from mirror.wire.auth import challenges
from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.nginx import Nginx, NginxSite
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.harness.tls_files import TlsFiles
from tests.harness.trixie import ENGINE_BINARIES

pytestmark = pytest.mark.e2e

FILE = Path(__file__).parents[2] / "deploy/nginx/plugin-mirror.conf"
NAME = "acme/driver"
CLIENT = "127.0.0.5"
LARGE = random.Random(1).randbytes(48 * 1024 * 1024)
DIGEST = f"sha256:{hashlib.sha256(LARGE).hexdigest()}"


@dataclass
class Site:
    mirror: Mirror
    nginx: NginxSite
    trusting: ssl.SSLContext

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self.nginx.port, context=self.trusting, source_address=(CLIENT, 0), timeout=120
        )

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self.connect()
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def begin(self) -> str:
        """Begin an upload, and return the path to continue it."""
        status, headers, _ = self.ask("POST", f"/v2/{NAME}/blobs/uploads/", b"")
        assert status == 202
        return path_of(headers["Location"])


def path_of(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@contextmanager
def opened(folder: Path, **server: object) -> Iterator[Site]:
    require(Nginx.missing())
    ca = trustme.CA()
    files = TlsFiles(folder, ca.issue_cert("127.0.0.1"))
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)
    with Mirror(sections={"server": {"trusted_proxies": ["127.0.0.1"], **server}}) as mirror:
        changes = {
            "server 127.0.0.1:5000;": f"server {mirror.host};",
            "/etc/nginx/tls/plugin-mirror.crt": str(files.certificate),
            "/etc/nginx/tls/plugin-mirror.key": str(files.key),
        }
        with NginxSite(FILE, changes) as nginx:
            yield Site(mirror, nginx, trusting)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("tls")) as site:
        yield site


@pytest.fixture(scope="module")
def pushed(site: Site) -> None:
    """A large blob, pushed with a connection that broke on the way."""
    path, half = site.begin(), len(LARGE) // 2
    connection = site.connect()
    connection.putrequest("PATCH", path)
    connection.putheader("Content-Length", str(len(LARGE)))
    connection.putheader("Content-Type", "application/octet-stream")
    connection.endheaders()
    connection.send(LARGE[:half])
    connection.close()

    def resumed() -> bool:
        """Send the rest from the offset that the server has. It may still be reading from the broken connection."""
        _, headers, _ = site.ask("GET", path)
        received = int(headers["Range"].partition("-")[2]) + 1
        offsets.append(received)
        place = f"{received}-{len(LARGE) - 1}"
        return site.ask("PATCH", path_of(headers["Location"]), LARGE[received:], Content_Range=place)[0] == 202

    offsets: list[int] = []
    wait_until(resumed, "the server to take the rest")
    assert 1 < offsets[-1] <= half
    _, headers, _ = site.ask("GET", path)
    separator = "&" if "?" in headers["Location"] else "?"
    status, _, _ = site.ask("PUT", f"{path_of(headers['Location'])}{separator}digest={DIGEST}", b"")
    assert status == 201


@pytest.mark.usefixtures("pushed")
def test_a_large_blob_is_pulled_whole(site: Site) -> None:
    status, headers, content = site.ask("GET", f"/v2/{NAME}/blobs/{DIGEST}")
    assert (status, headers["Content-Length"]) == (200, str(len(LARGE)))
    assert content == LARGE


@pytest.mark.usefixtures("pushed")
def test_a_range_is_pulled(site: Site) -> None:
    first = len(LARGE) - 1_000_000
    status, headers, content = site.ask("GET", f"/v2/{NAME}/blobs/{DIGEST}", Range=f"bytes={first}-")
    assert (status, headers["Content-Range"]) == (206, f"bytes {first}-{len(LARGE) - 1}/{len(LARGE)}")
    assert content == LARGE[first:]


def test_the_client_is_the_one_that_nginx_saw(site: Site) -> None:
    path = "/v2/acme/asked-for/tags/list"
    site.ask("GET", path, X_Forwarded_For="192.0.2.1", X_Forwarded_Host="forged.example")

    def clients() -> list[str]:
        return [line["client"] for line in site.mirror.log if line.get("path") == path]

    wait_until(lambda: bool(clients()), "the line of the request")
    assert clients() == [CLIENT]


def test_the_token_server_is_behind_nginx_too(tmp_path: Path) -> None:
    with opened(tmp_path, anonymous=["pull"]) as site:
        site.mirror.command("user", "add", "anna", "--password-stdin", input_text="the password\n")
        status, headers, _ = site.ask("POST", f"/v2/{NAME}/blobs/uploads/", b"", X_Forwarded_Host="forged.example")
        (challenge,) = challenges.parse(headers["WWW-Authenticate"])
        assert (status, challenge.parameters["realm"]) == (401, f"{site.nginx.url}/token")


def test_an_engine_pushes_and_installs(site: Site, tmp_path: Path) -> None:
    require(Engine.missing(ENGINE_BINARIES))
    reference = f"{site.nginx.host}/{NAME}:1.0"
    with Engine(binaries=ENGINE_BINARIES) as engine:
        engine.docker("plugin", "create", reference, str(plugins.contiv_plugin(tmp_path / "plugin")))
        engine.docker("plugin", "push", reference)
        engine.docker("plugin", "rm", reference)
        engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference)
        assert engine.inspect_plugin(reference)["PluginReference"] == reference
