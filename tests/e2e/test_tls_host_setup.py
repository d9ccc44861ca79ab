"""From nothing to TLS with a real engine: it refuses the server, runs the server's script, and installs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.no_network import VERIFIED_ADDRESS as ADDRESS
from tests.harness.no_network import no_network
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

NAME = "mirror.test"
PLUGIN = "acme/volumes:1"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """A server with the certificate of a local CA."""
    require(Engine.missing(), plugins.missing())
    folder = tmp_path_factory.mktemp("tls")
    with no_network(ADDRESS):
        plugin_mirror("tls", "init", "--out", str(folder / "tls"), "--san", NAME, "--san", ADDRESS)
        tls = {"certificate": "server.crt", "key": "server.key", "ca": "ca.crt"}
        section = {key: str(folder / "tls" / file) for key, file in tls.items()}
        with Mirror(workers=2, address=ADDRESS, sections={"server": {"tls": section}}) as mirror:
            mirror.command("pack", str(plugins.volume_plugin(folder / "plugin")), "-t", PLUGIN)
            yield mirror


@pytest.fixture(scope="module")
def engine(binaries: Path | None, mirror: Mirror) -> Iterator[Engine]:
    """An engine that knows no registry, neither by a CA nor as an insecure one."""
    with Engine(binaries=binaries, own_etc={"hosts": f"{ADDRESS} {NAME}\n"}) as engine:
        yield engine


@pytest.mark.parametrize("name", [NAME, ADDRESS])
def test_a_host_trusts_the_server_after_its_script(engine: Engine, mirror: Mirror, name: str) -> None:
    host = f"{name}:{mirror.port}"
    reference = f"{host}/{PLUGIN}"
    refused = engine.docker("plugin", "install", reference, check=False)
    assert refused.exit_code != 0
    assert "x509: certificate signed by unknown authority" in refused.stderr
    log = [line for line in mirror.log if line["event"] == "TLS handshake failed"]
    assert "the client does not trust the certificate of this server; fix: " in log[-1]["reason"]

    told = mirror.command("tls", "host-setup", host)
    fetching, running = (line.strip() for line in told.stderr.splitlines() if line.startswith("  "))
    assert fetching.startswith(f"curl -fsSk https://{host}/host-setup.sh ")
    script = engine.folder / name
    script.mkdir()
    # The test is root already.
    engine.as_host("sh", "-ec", f"cd {script}; {fetching}; {running.replace('sudo ', '')}")
    assert (script / "host-setup.sh").read_text() == told.stdout

    engine.docker("plugin", "install", reference)
    assert engine.inspect_plugin(reference)["Enabled"] is True
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", "-f", reference)
    with (engine.folder / "engine.log").open() as log_lines:
        assert sum("Daemon has completed initialization" in line for line in log_lines) == 1, "no restart"


def test_a_changed_script_is_not_run(engine: Engine, mirror: Mirror) -> None:
    told = mirror.command("tls", "host-setup", f"{NAME}:{mirror.port}").stderr
    check = re.sub(r"(?<=echo ')[0-9a-f]", "g", told.splitlines()[-1].replace("sudo ", ""))
    (engine.folder / "host-setup.sh").write_text("touch ran\n")
    done = run(["sh", "-c", f"cd {engine.folder}; {check}"], check=False)
    assert done.exit_code != 0
    assert not (engine.folder / "ran").exists()
