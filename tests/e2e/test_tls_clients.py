"""Other clients over TLS and mTLS, as their users configure them: image tools, and registries behind the server."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme

from tests.harness import oras, skopeo, trixie
from tests.harness.command import LOOPBACK_ONLY, CompletedRun, run
from tests.harness.docker_registry import DockerRegistry
from tests.harness.image import OCI, PackedImage, pack_image, write_oci_layout
from tests.harness.image_clients import Containers
from tests.harness.mirror import Mirror
from tests.harness.own_etc import with_own_etc
from tests.harness.packing import digest_of
from tests.harness.requirement import require
from tests.harness.server import Server
from tests.harness.tls_files import TlsFiles, write_ca, write_client

pytestmark = pytest.mark.e2e

IMAGE = "images/seed"
RULES = [{"users": ["cert:CN=host-12"], "repositories": ["images/*"], "actions": ["pull", "push"]}]


@dataclass(frozen=True)
class Site:
    """A server that serves only clients with a certificate.

    Attributes:
        mirror: The server, which holds an image.
        public: A server that serves the image to everybody.
        image: The image.
        certs: Folder with the CA of the server and a client certificate: `ca.crt`, `client.cert`, `client.key`.
    """

    mirror: Mirror
    public: Mirror
    image: PackedImage
    certs: Path

    def etc(self, *names: str) -> dict[str, str]:
        """Return files of `certs` as files of /etc, where engines, skopeo, podman and buildah read them."""
        folder = f"docker/certs.d/{self.mirror.host}"
        return {f"{folder}/{name}": (self.certs / name).read_text() for name in names}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require(skopeo.missing())
    folder, ca, clients = tmp_path_factory.mktemp("tls"), trustme.CA(), trustme.CA()
    certs, image = folder / "certs", pack_image({"etc/greeting": b"hello\n"}, OCI)
    write_ca(certs, ca)
    write_client(certs, clients.issue_cert(common_name="host-12"))
    clients.cert_pem.write_to_path(str(folder / "clients.crt"))
    layout = write_oci_layout(image, folder / "image", "1")
    tls = TlsFiles(folder, ca.issue_cert("127.0.0.1")).section
    private = {"anonymous": [], "tls": {**tls, "client_ca": str(folder / "clients.crt")}}
    with (
        Mirror(workers=2, sections={"server": private, "access": RULES}) as mirror,
        Mirror(sections={"server": {"tls": tls}}) as public,
    ):
        for each in (mirror, public):
            skopeo.copy(layout, f"docker://{each.host}/{IMAGE}:1", "--dest-tls-verify=true", f"--dest-cert-dir={certs}")
        yield Site(mirror, public, image, certs)


class Client:
    """An image tool that pulls the image of a site, and pushes it under a name of its own.

    Args:
        name: Name of the program.
        site: The server.
        folder: Folder for everything that the program writes.
        files: Files of the site's `certs` that the program is given.
    """

    def __init__(self, name: str, site: Site, folder: Path, files: Sequence[str]) -> None:
        self._prefix = [] if name == "oras" else with_own_etc(folder / "etc", site.etc(*files))
        self._environment = {**LOOPBACK_ONLY, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        seed, self.own = (f"{site.mirror.host}/{repository}:1" for repository in (IMAGE, f"images/{name}"))
        if name == "oras":
            layout = f"{folder / 'layout'}:1"
            self._pull = [str(trixie.ORAS), "copy", *_oras("from", site, files), seed, "--to-oci-layout", layout]
            self._push = [str(trixie.ORAS), "copy", "--from-oci-layout", layout, *_oras("to", site, files), self.own]
        elif name == "skopeo":
            copy, image = ["skopeo", "--insecure-policy", "copy"], f"oci:{folder / 'image'}:1"
            self._pull, self._push = [*copy, f"docker://{seed}", image], [*copy, image, f"docker://{self.own}"]
        else:
            program = Containers.command(name, folder)
            self._pull, self._push = [*program, "pull", seed], [*program, "push", seed, f"docker://{self.own}"]

    @staticmethod
    def missing(name: str) -> str | None:
        """Return a sentence that names the missing package, or None."""
        return oras.missing() if name == "oras" else Containers.missing(name)

    def pull(self, *, check: bool = True) -> CompletedRun:
        return run([*self._prefix, *self._pull], environment=self._environment, check=check)

    def push(self) -> None:
        run([*self._prefix, *self._push], environment=self._environment)


def _oras(side: str, site: Site, files: Sequence[str]) -> list[str]:
    flags = {"ca.crt": "ca-file", "client.cert": "cert-file", "client.key": "key-file"}
    return [f"--{side}-{flags[name]}={site.certs / name}" for name in files]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, which podman needs."""
    with TemporaryDirectory(prefix="img-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", ["skopeo", "podman", "buildah", "oras"])
def test_image_tools_read_certificates_where_their_manuals_say(site: Site, short: Path, name: str) -> None:
    require(Client.missing(name))

    def client(*files: str) -> Client:
        folder = short / str(len(files))
        folder.mkdir()
        return Client(name, site, folder, files)

    refused = client().pull(check=False)
    assert refused.exit_code != 0
    assert "certificate signed by unknown authority" in refused.stderr
    refused = client("ca.crt").pull(check=False)
    assert refused.exit_code != 0
    assert "denied" in refused.stderr

    knowing = client("ca.crt", "client.cert", "client.key")
    knowing.pull()
    knowing.push()
    options = ("--tls-verify=true", f"--cert-dir={site.certs}")
    manifest = json.loads(skopeo.inspect(f"docker://{knowing.own}", *options, raw=True).stdout)
    assert manifest["config"]["digest"] == json.loads(site.image.manifest)["config"]["digest"]


def read(url: str, media_type: str = "*/*") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": media_type})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return bytes(answer.read())


def require_pulled_through(site: Site, registry: Server) -> None:
    root = f"{registry.url}/v2/{IMAGE}"
    assert read(f"{root}/manifests/1", "application/vnd.oci.image.manifest.v1+json") == site.image.manifest
    for content in (site.image.config, site.image.layer):
        assert read(f"{root}/blobs/{digest_of(content)}") == content


def test_a_docker_registry_pulls_through_the_server(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker-registry trusts the CAs of its system, and shows no client certificate."""
    require(DockerRegistry.missing())
    monkeypatch.setenv("SSL_CERT_FILE", str(site.certs / "ca.crt"))
    with DockerRegistry(more={"proxy": {"remoteurl": site.public.url}}) as registry:
        require_pulled_through(site, registry)


def test_a_mirror_pulls_through_the_server_with_a_certificate(site: Site) -> None:
    files = {"ca_file": "ca.crt", "certificate_file": "client.cert", "key_file": "client.key"}
    hub = {"url": site.mirror.url, "tls": {key: str(site.certs / name) for key, name in files.items()}}
    sections = {"upstreams": {"hub": hub}, "proxy": [{"from": "hub/**", "to": "**"}]}
    with Mirror(sections=sections) as second:
        require_pulled_through(site, second)
