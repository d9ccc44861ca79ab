"""From nothing to TLS with a real engine: it refuses the server, its host runs the server's script, and it installs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mirror.access.certificates.host_setup import HTTPS_PORT
from tests.harness import plugins
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.no_network import VERIFIED_ADDRESS, no_network
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

NAME = "mirror.test"
PLUGIN = "acme/volumes:1"


@pytest.fixture(scope="module")
def engine(binaries: Path | None) -> Iterator[Engine]:
    """An engine that knows no registry, neither by a CA nor as an insecure one."""
    require(plugins.missing())
    etc = {"hosts": f"{VERIFIED_ADDRESS} {NAME}\n"}
    with no_network(VERIFIED_ADDRESS), Engine(binaries=binaries, own_etc=etc) as engine:
        yield engine


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Mirror]:
    """Serve a plugin with the certificate of a new local CA, on a free port unless one is given."""
    plugin_mirror("tls", "init", "--out", str(folder / "tls"), "--san", NAME, "--san", VERIFIED_ADDRESS)
    files = {"certificate": "server.crt", "key": "server.key", "ca": "ca.crt"}
    tls = {key: str(folder / "tls" / file) for key, file in files.items()}
    mirror = Mirror(workers=2, address=VERIFIED_ADDRESS, sections={"server": {"tls": tls}})
    mirror.port = port or mirror.port
    with mirror:
        mirror.command("pack", str(plugins.volume_plugin(folder / "plugin")), "-t", PLUGIN)
        yield mirror


@pytest.mark.pairwise
@pytest.mark.parametrize("at", [(NAME, 0), (VERIFIED_ADDRESS, 0), (NAME, HTTPS_PORT)], ids=["name", "ip", "https"])
def test_an_engine_installs_once_its_host_is_set_up(engine: Engine, tmp_path: Path, at: tuple[str, int]) -> None:
    name, port = at
    with serving(tmp_path, port) as mirror:
        host = name if port else mirror.host.replace(VERIFIED_ADDRESS, name)
        reference = f"{host}/{PLUGIN}"
        refused = engine.docker("plugin", "install", reference, check=False)
        assert refused.exit_code != 0
        assert "x509: certificate signed by unknown authority" in refused.stderr
        reason = "the client does not trust the certificate of this server; fix: "
        wait_until(lambda: any(reason in line.get("reason", "") for line in mirror.log), "the server to say why")

        told = mirror.command("tls", "host-setup", host)
        fetching, running = (line.strip() for line in told.stderr.splitlines() if line.startswith("  "))
        folder = engine.folder / "setup"
        folder.mkdir()
        # The test is root already.
        engine.as_host("sh", "-ec", f"cd {folder}; {fetching}; {running.replace('sudo ', '')}")
        assert (folder / "host-setup.sh").read_text() == told.stdout
        shutil.rmtree(folder)

        engine.docker("plugin", "install", reference)
        assert engine.inspect_plugin(reference)["Enabled"] is True
        engine.docker("plugin", "push", reference)
        engine.docker("plugin", "rm", "-f", reference)
    assert engine.log.read_text().count("Daemon has completed initialization") == 1, "the engine was not restarted"


def test_a_script_with_another_hash_is_not_run(tmp_path: Path) -> None:
    plugin_mirror("tls", "init", "--out", str(tmp_path / "tls"), "--san", NAME)
    told = plugin_mirror("tls", "host-setup", f"{NAME}:5000", "--out", str(tmp_path / "tls")).stderr
    running = told.splitlines()[-1].strip().replace("sudo ", "")
    (tmp_path / "host-setup.sh").write_text("touch ran\n")
    assert run(["sh", "-c", running], folder=tmp_path, check=False).exit_code != 0
    assert not (tmp_path / "ran").exists()
