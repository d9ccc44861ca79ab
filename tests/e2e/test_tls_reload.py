"""Certificates that are replaced while an engine pulls: the pull goes on, and new connections see the new one."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.held_line import HeldLine
from tests.harness.mirror import Mirror
from tests.harness.no_network import VERIFIED_ADDRESS as ADDRESS
from tests.harness.no_network import no_network
from tests.harness.pulling import workers_of
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.harness.tls_files import TlsFiles, chain, fingerprint, write_ca

pytestmark = [pytest.mark.e2e, pytest.mark.newest_engine]

NAME = "mirror.test"
PLUGIN = "contiv/v2plugin:1"
PAYLOAD_BYTES = 8_000_000


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    require(Engine.missing())
    with no_network(ADDRESS):
        yield


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def first(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert(NAME)


@pytest.fixture
def files(network: None, first: trustme.LeafCert, tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("tls"), first)


@pytest.fixture
def mirror(files: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    with Mirror(workers=2, address=ADDRESS, sections={"server": {"tls": files.section}}) as mirror:
        folder = plugins.contiv_plugin(tmp_path_factory.mktemp("plugin"), payload_size_bytes=PAYLOAD_BYTES)
        mirror.command("pack", str(folder), "-t", PLUGIN)
        yield mirror


def serves(mirror: Mirror, certificate: trustme.LeafCert) -> bool:
    """Return True if 20 new connections, which both workers share, all see a certificate."""
    wanted = fingerprint(chain(certificate))
    return all(fingerprint(ssl.get_server_certificate((ADDRESS, mirror.port)).encode()) == wanted for _ in range(20))


def refusals(mirror: Mirror, reason: str) -> list[str]:
    """Return the log lines about files that were not reloaded for a reason."""
    lines = [line for line in mirror.log if line["event"] == "file not reloaded, last value stays in use"]
    return [line["error"] for line in lines if reason in line["error"]]


def require_refused_once(mirror: Mirror, reason: str) -> list[str]:
    """Wait until both workers have refused the files, and return what each of them said."""
    wait_until(lambda: len(refusals(mirror, reason)) >= 2, f"both workers to say that {reason}")
    said = refusals(mirror, reason)
    assert len(said) == 2
    return said


def test_a_pull_goes_on_while_certificates_change(
    binaries: Path | None, mirror: Mirror, files: TlsFiles, ca: trustme.CA, first: trustme.LeafCert
) -> None:
    expired = ca.issue_cert(NAME, not_after=datetime.now(UTC) - timedelta(minutes=5))
    workers = workers_of(mirror)
    with (
        Engine(binaries=binaries, own_etc={"hosts": f"{ADDRESS} {NAME}\n"}) as engine,
        HeldLine(mirror.port, hold_after_bytes=PAYLOAD_BYTES // 4, address=ADDRESS) as line,
        ThreadPoolExecutor(1) as thread,
    ):
        host = f"{NAME}:{line.port}"
        write_ca(engine.etc / "docker/certs.d" / host, ca)
        pulled = thread.submit(
            engine.docker, "plugin", "install", "--disable", "--grant-all-permissions", f"{host}/{PLUGIN}"
        )
        wait_until(line.held.is_set, "the pull to be under way")

        for certificate, key, reason in (
            (b"no certificate", first.private_key_pem.bytes(), "has no certificate in PEM format"),
            (chain(ca.issue_cert(NAME)), first.private_key_pem.bytes(), "the key belongs to another certificate"),
            (chain(expired), expired.private_key_pem.bytes(), "expired on"),
        ):
            files.replace_with(certificate, key)
            said = require_refused_once(mirror, reason)
            assert all("\n" not in line and "; fix: " in line for line in said)
            assert serves(mirror, first)

        second = ca.issue_cert(NAME)
        files.replace(second)
        wait_until(lambda: serves(mirror, second), "all new connections to see the new certificate")

        assert not pulled.done()
        line.released.set()
        assert pulled.result().exit_code == 0
        assert engine.inspect_plugin(f"{host}/{PLUGIN}")["Enabled"] is False
        engine.docker("plugin", "rm", f"{host}/{PLUGIN}")
        engine.docker("plugin", "install", "--disable", "--grant-all-permissions", f"{host}/{PLUGIN}")
    assert workers_of(mirror) == workers
