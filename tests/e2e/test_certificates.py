"""Certificates of the local CA with other programs, and their renewal by a running server."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from mirror.access.certificates.certificate_folder import ServerFiles
from mirror.access.certificates.certificate_renewal import renew
from mirror.access.certificates.client_issuing import issue_client_certificate, revoke_client_certificate
from mirror.access.certificates.pem_files import certificates_pem, locked_folder, write_file
from tests.harness import skopeo
from tests.harness.command import run
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.support.local_ca import client_context, forge, leaf, made, now

pytestmark = pytest.mark.e2e

DUE = timedelta(days=61)
USER = 64_123


def openssl(*arguments: str | Path, check: bool = True) -> str:
    require(None if shutil.which("openssl") else "openssl is not installed (Debian: apt-get install openssl)")
    done = run(["openssl", *map(str, arguments)], check=check)
    return done.stdout + done.stderr


def section(files: ServerFiles) -> dict[str, str]:
    return {key: str(getattr(files, key)) for key in ("certificate", "key", "ca", "ca_key")}


@contextmanager
def serving(files: ServerFiles, workers: int = 1) -> Iterator[Mirror]:
    with Mirror(workers=workers, sections={"server": {"tls": section(files)}}) as mirror:
        yield mirror


def served_certificate(port: int, ca: Path) -> x509.Certificate:
    context = client_context(ca)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
    connection.connect()
    try:
        shown = connection.sock.getpeercert(binary_form=True)
    finally:
        connection.close()
    return x509.load_der_x509_certificate(shown)


def fetch(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    return answer.read()


def test_openssl_accepts_the_certificates_and_their_names(tmp_path: Path) -> None:
    folder = made(tmp_path)
    files = folder.server
    verify = ("verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver", "-CAfile", files.ca)
    for option in ("-verify_hostname", "mirror.example"), ("-verify_ip", "10.1.2.3"), ("-verify_hostname", "localhost"):
        assert openssl(*verify, *option, files.certificate) == f"{files.certificate}: OK\n"
    assert "hostname mismatch" in openssl(*verify, "-verify_hostname", "other.example", files.certificate, check=False)
    certificate, _ = issue_client_certificate(folder, "host-12", timedelta(days=1), now())
    checked = ("verify", "-x509_strict", "-purpose", "sslclient", "-crl_check", "-CAfile", folder.client_ca)
    assert openssl(*checked, "-CRLfile", folder.client_crl, certificate) == f"{certificate}: OK\n"
    as_server = ("verify", "-purpose", "sslserver", "-CAfile", folder.client_ca)
    assert "purpose" in openssl(*as_server, certificate, check=False)
    revoke_client_certificate(folder, certificate, now())
    assert "certificate revoked" in openssl(*checked, "-CRLfile", folder.client_crl, certificate, check=False)


@pytest.mark.parametrize("name", ["other.example", "10.9.9.9", "2001:db8::1"])
def test_openssl_refuses_a_name_that_the_ca_does_not_permit(name: str, tmp_path: Path) -> None:
    forged = forge(made(tmp_path), name)
    told = openssl("verify", "-purpose", "sslserver", "-CAfile", forged.ca, forged.certificate, check=False)
    assert "permitted subtree violation" in told


def renewals(mirror: Mirror) -> int:
    return sum(line["event"] == "server certificate renewed" for line in mirror.log)


def look(mirror: Mirror, certs: Path) -> str:
    """Return the messages of skopeo, a client in Go, for a manifest that the server does not have."""
    reference = f"docker://localhost:{mirror.port}/acme/driver:1.0"
    done = run(["skopeo", "inspect", "--raw", "--cert-dir", str(certs), reference], check=False)
    assert done.exit_code != 0
    return done.stderr


def set_up(mirror: Mirror, folder: Path) -> Path:
    """Run the script that the server offers, and return the folder of its certificate."""
    script = mirror.command("tls", "host-setup", f"localhost:{mirror.port}").stdout
    subprocess.run(
        ["sh"],
        input=script,
        env=os.environ | {"CERTS_D": str(folder)},
        text=True,
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
    )
    return folder / f"localhost:{mirror.port}"


def test_a_client_in_go_accepts_the_server_after_the_set_up_and_no_name_that_the_ca_does_not_permit(
    tmp_path: Path,
) -> None:
    require(skopeo.missing())
    folder = made(tmp_path / "tls")
    (tmp_path / "empty").mkdir()
    with serving(folder.server) as mirror:
        assert "certificate signed by unknown authority" in look(mirror, tmp_path / "empty")
        certs = set_up(mirror, tmp_path / "certs.d")
        assert "the registry has no repository acme/driver" in look(mirror, certs)
    for name in ("other.example", "10.9.9.9"):
        forged = forge(folder, "localhost", name)
        tls = {key: value for key, value in section(forged).items() if key != "ca_key"}
        with Mirror(sections={"server": {"tls": tls}}) as mirror:
            assert "is not permitted by any constraint" in look(mirror, certs)


def test_the_script_and_the_certificate_are_served_on_both_listeners(tmp_path: Path) -> None:
    files = made(tmp_path).server
    plain = Mirror().port
    server = {"tls": section(files), "plain": {"listen": f"127.0.0.1:{plain}"}}
    with Mirror(sections={"server": server}) as mirror:
        told = mirror.command("tls", "host-setup", f"localhost:{mirror.port}")
        digest = hashlib.sha256(told.stdout_bytes).hexdigest()
        assert f"echo '{digest}  host-setup.sh' | sha256sum -c" in told.stderr
        secure = http.client.HTTPSConnection("localhost", mirror.port, context=client_context(files.ca), timeout=60)
        for connection in (secure, http.client.HTTPConnection("localhost", plain, timeout=60)):
            assert hashlib.sha256(fetch(connection, "/host-setup.sh")).hexdigest() == digest
            assert fetch(connection, "/ca.crt") == files.ca.read_bytes()
            connection.close()


def test_a_running_server_renews_its_certificate_and_drops_no_connection(tmp_path: Path) -> None:
    files = made(tmp_path, ago=DUE).server
    due = leaf(files)
    renew(files, None, now())
    with serving(files, workers=2) as mirror:
        first = leaf(files)
        assert served_certificate(mirror.port, files.ca) == first
        kept = http.client.HTTPSConnection("localhost", mirror.port, context=client_context(files.ca), timeout=60)
        fetch(kept, "/healthz")
        with locked_folder(tmp_path):
            write_file(files.certificate, certificates_pem([due]))
        wait_until(lambda: leaf(files) not in (first, due), "the server to renew its certificate")
        renewed = leaf(files)
        wait_until(lambda: served_certificate(mirror.port, files.ca) == renewed, "the server to use it")
        socket = kept.sock
        fetch(kept, "/healthz")
        assert kept.sock is socket
        kept.close()
        metrics = http.client.HTTPSConnection("localhost", mirror.port, context=client_context(files.ca), timeout=60)
        told = fetch(metrics, "/metrics").decode()
        metrics.close()
        expected = renewed.not_valid_after_utc.timestamp()
        (line,) = [line for line in told.splitlines() if line.startswith("plugin_mirror_tls") and "certificate" in line]
        name, value = line.split()
        assert (name, float(value)) == ('plugin_mirror_tls_expires_timestamp_seconds{file="certificate"}', expected)
        wait_until(lambda: renewals(mirror) == 1, "the line in the log")


def test_a_running_server_refuses_a_client_after_tls_revoke(tmp_path: Path) -> None:
    folder = made(tmp_path)
    certificate, key = issue_client_certificate(folder, "host-12", timedelta(days=1), now())
    clients = {"client_ca": str(folder.client_ca), "client_crl": str(folder.client_crl)}
    context = client_context(folder.server.ca)
    context.load_cert_chain(certificate, key)

    def is_accepted() -> bool:
        connection = http.client.HTTPSConnection("localhost", mirror.port, context=context, timeout=60)
        try:
            # A request gets 403 while the list for requests is read already, and that for handshakes is not.
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
            return False
        finally:
            connection.close()

    with Mirror(sections={"server": {"tls": section(folder.server) | clients}}) as mirror:
        assert is_accepted()
        mirror.command("tls", "revoke", "host-12")
        wait_until(lambda: not is_accepted(), "the server to refuse the revoked certificate")
        context = client_context(folder.server.ca)
        assert is_accepted()  # as a client without a certificate


def test_a_server_that_was_off_for_months_starts_with_a_new_certificate(tmp_path: Path) -> None:
    files = made(tmp_path, ago=timedelta(days=200)).server
    with serving(files) as mirror:
        assert served_certificate(mirror.port, files.ca).not_valid_after_utc > now()


def test_files_that_root_makes_belong_to_the_owner_of_the_data_folder(tmp_path: Path) -> None:
    require(None if os.geteuid() == 0 else "giving files to another user needs root")
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, USER, USER)
    for command in (["init", "--san", "mirror.example"], ["renew"], ["client", "host-12"], ["revoke", "host-12"]):
        plugin_mirror("tls", *command, "--data", str(data))
    found = [path.stat() for path in data.rglob("*")]
    assert len(found) == 11
    assert {(each.st_uid, each.st_gid) for each in found} == {(USER, USER)}
    assert not any(each.st_mode & 0o077 for each in found)


def test_a_server_does_not_start_with_the_key_of_another_ca(tmp_path: Path) -> None:
    own, other = made(tmp_path / "own").server, made(tmp_path / "other").server
    settings = tmp_path / "config.yaml"
    tls = section(own) | {"ca_key": str(other.ca_key)}
    settings.write_text(json.dumps({"server": {"listen": "127.0.0.1:0", "tls": tls}}))
    done = plugin_mirror("serve", "--config", str(settings), check=False)
    assert done.exit_code == 2
    assert done.stderr == (
        f"error: {own.ca} and {other.ca_key} do not belong together; fix: name the certificate and the key of one CA\n"
    )
