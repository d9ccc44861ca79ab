"""Client certificates with skopeo, and with our own client towards an upstream. The program has two workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.harness import skopeo
from tests.harness.command import CompletedRun, run
from tests.harness.image import DOCKER, pack_image, write_folder
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.support.client_certificates import ClientCa, Issued

pytestmark = pytest.mark.e2e

PASSWORD = "the pass:word of anna"
RULES = [
    {"users": ["cert:CN=host-*"], "repositories": ["hosts/*"], "actions": ["pull", "push"]},
    {"users": ["anna"], "repositories": ["acme/*"], "actions": ["pull", "push"]},
]


@dataclass
class Site:
    """A server that knows clients by their certificates.

    Attributes:
        mirror: the server.
        folder: folder with its files of TLS.
        ca: CA of clients.
    """

    mirror: Mirror
    folder: Path
    ca: ClientCa

    @property
    def trusted(self) -> Path:
        """File with the CA of the server."""
        return self.folder / "ca.crt"

    def certificates(self, folder: Path, shown: Issued | None) -> Path:
        """Return a folder with the CA and the client certificate, as engines and skopeo read it."""
        folder.mkdir()
        (folder / "ca.crt").write_bytes(self.trusted.read_bytes())
        if shown is not None:
            shown.written(folder, "client")
        return folder

    def revoke(self, *issued: Issued) -> None:
        new = self.folder / "clients.crl.new"
        new.write_bytes(self.ca.revoked(*issued))
        new.replace(self.folder / "clients.crl")


@pytest.fixture(params=[[], ["anna"]], ids=["without users", "with a user"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    folder, server_ca, ca = tmp_path / "tls", trustme.CA(), ClientCa()
    folder.mkdir()
    own = server_ca.issue_cert("127.0.0.1")
    server_ca.cert_pem.write_to_path(folder / "ca.crt")
    own.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    (folder / "clients.crt").write_bytes(ca.pem)
    (folder / "clients.crl").write_bytes(ca.revoked())
    names = {"certificate": "server.pem", "key": "server.pem", "client_ca": "clients.crt", "client_crl": "clients.crl"}
    tls = {key: str(folder / name) for key, name in names.items()}
    with Mirror(workers=2, sections={"server": {"anonymous": [], "tls": tls}, "access": RULES}) as mirror:
        for user in request.param:
            command = [PROGRAM, "user", "add", user, "--password-stdin", "--config", str(mirror.config)]
            run(command, input_text=f"{PASSWORD}\n")
        yield Site(mirror, folder, ca)


def test_skopeo_pushes_and_pulls_with_a_certificate_until_it_is_revoked(site: Site, tmp_path: Path) -> None:
    require(skopeo.missing())
    source = write_folder(pack_image({"etc/greeting": b"hello"}, DOCKER), tmp_path / "image")
    target, host = f"docker://{site.mirror.host}/hosts/greeting:1", site.ca.issue("host-12")
    with_it = site.certificates(tmp_path / "with", host)

    def push(certificates: Path, target: str = target) -> CompletedRun:
        options = ("--dest-tls-verify=true", "--dest-cert-dir", str(certificates))
        return skopeo.copy(source, target, *options, check=False)

    def pull(certificates: Path) -> CompletedRun:
        return skopeo.inspect(target, "--tls-verify=true", "--cert-dir", str(certificates), check=False)

    for name, shown in (("without", None), ("other", site.ca.issue("other"))):
        assert push(site.certificates(tmp_path / name, shown)).exit_code != 0
    assert push(with_it).exit_code == 0
    assert push(with_it, f"docker://{site.mirror.host}/acme/greeting:1").exit_code != 0
    assert pull(with_it).exit_code == 0
    assert pull(tmp_path / "without").exit_code != 0
    pulled = [line for line in site.mirror.log if line["event"] == "request" and line.get("user")]
    assert {line["user"] for line in pulled} == {"cert:CN=host-12", "cert:CN=other"}

    site.revoke(host)
    wait_until(lambda: pull(with_it).exit_code != 0, "the server to see the list of revoked certificates")
    assert pull(site.certificates(tmp_path / "another", site.ca.issue("host-13"))).exit_code == 0


def test_a_mirror_shows_its_certificate_to_a_mirror(site: Site, tmp_path: Path) -> None:
    require(skopeo.missing())
    source = write_folder(pack_image({"etc/greeting": b"hello"}, DOCKER), tmp_path / "image")
    with_it = site.certificates(tmp_path / "with", site.ca.issue("host-12"))
    options = ("--dest-tls-verify=true", "--dest-cert-dir", str(with_it))
    skopeo.copy(source, f"docker://{site.mirror.host}/hosts/greeting:1", *options)

    def sync(**certificate: str) -> CompletedRun:
        upstream = {"url": site.mirror.url, "tls": {"ca_file": str(site.trusted), **certificate}}
        rule = {"name": "copied", "from": "first/hosts/greeting", "to": "second/copied"}
        sections = {"upstreams": {"first": upstream}, "mirrors": [rule], "storage": {"path": str(tmp_path / "data")}}
        (tmp_path / "config.yaml").write_text(json.dumps(sections))
        return plugin_mirror("sync", "--config", str(tmp_path / "config.yaml"), check=False)

    assert sync().exit_code != 0
    assert sync(certificate_file=str(with_it / "client.cert"), key_file=str(with_it / "client.key")).exit_code == 0
