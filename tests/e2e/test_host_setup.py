"""A real engine that does not trust the server, runs the script of ``tls host-setup``, and installs a plugin."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from mirror.access.certificates.host_setup import HTTPS_PORT
from tests.harness import bad_line, plugins
from tests.harness.bad_line import in_own_network
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.requirement import require
from tests.support.local_ca import made

pytestmark = pytest.mark.e2e

#: An address for documentation. Engines check no certificate of an address in 127.0.0.0/8.
ADDRESS = "192.0.2.10"
CERTS_D = Path("/etc/docker/certs.d")


@pytest.mark.parametrize("port", [5443, HTTPS_PORT])
def test_an_engine_refuses_the_server_until_the_host_is_set_up(
    binaries: Path | None, port: int, tmp_path: Path
) -> None:
    require(bad_line.missing())
    in_own_network(lambda: _refused_and_installed(binaries, port, tmp_path))


def _refused_and_installed(binaries: Path | None, port: int, tmp_path: Path) -> None:
    run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"])
    files = made(tmp_path / "tls", [ADDRESS]).server
    tls = {key: str(getattr(files, key)) for key in ("certificate", "key", "ca", "ca_key")}
    mirror = Mirror(sections={"server": {"tls": tls, "listen": f"0.0.0.0:{port}"}})
    mirror.port = port
    address = ADDRESS if port == HTTPS_PORT else f"{ADDRESS}:{port}"
    with mirror, Engine(binaries=binaries) as engine:
        reference = f"{address}/acme/network:1.0"
        engine.docker("plugin", "create", reference, str(plugins.contiv_plugin(tmp_path / "plugin")))
        refused = engine.docker("plugin", "push", reference, check=False)
        assert "certificate signed by unknown authority" in refused.stderr
        told = mirror.command("tls", "host-setup").stdout
        try:
            engine.shell(told)
            engine.docker("plugin", "push", reference)
            engine.docker("plugin", "rm", reference)
            engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference)
        finally:
            for folder in (ADDRESS, f"{ADDRESS}:{port}"):
                shutil.rmtree(CERTS_D / folder, ignore_errors=True)
            with suppress(OSError):  # another test uses it
                CERTS_D.rmdir()
