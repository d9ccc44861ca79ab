"""The main use case with a real engine: create, push, remove, install, enable, use and upgrade a plugin."""

from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

PROMPT = """\
Plugin "{reference}" is requesting the following privileges:
 - network: [host]
 - mount: [/etc/openvswitch]
 - mount: [/var/log/openvswitch]
 - mount: [/var/run]
 - mount: [/lib/modules]
 - capabilities: [CAP_SYS_ADMIN CAP_NET_ADMIN CAP_SYS_MODULE]
Do you grant the above permissions? [y/N] """


def test_install_asks_for_exactly_the_privileges_of_contiv(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    reference = f"{mirror.host}/contiv/v2plugin:1.0"
    engine.docker("plugin", "create", reference, str(plugins.contiv_plugin(tmp_path / "contiv")))
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)

    refused = engine.docker("plugin", "install", "--disable", reference, check=False)
    assert refused.stdout.startswith(PROMPT.format(reference=reference))
    assert refused.exit_code != 0
    assert engine.docker("plugin", "ls", "-q").stdout == ""

    installed = engine.docker("plugin", "install", "--disable", reference, input_text="y\n")
    assert installed.stdout.startswith(PROMPT.format(reference=reference))
    assert installed.stdout.endswith(f"Installed plugin {reference}\n")
    described = engine.inspect_plugin(reference)
    assert described["Enabled"] is False
    # The engine sorts its copy when it compares the granted privileges, so the order is lost.
    assert sorted(described["Config"]["Linux"]["Capabilities"]) == sorted(plugins.CONTIV_PRIVILEGES["capabilities"])
    engine.docker("plugin", "rm", reference)


def test_a_driver_is_enabled_used_upgraded_and_removed(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    require(plugins.missing())
    name = f"{mirror.host}/acme/volumes"
    for version in ("1", "2"):
        folder = plugins.volume_plugin(tmp_path / version, version=version)
        engine.docker("plugin", "create", f"{name}:{version}", str(folder))
        engine.docker("plugin", "push", f"{name}:{version}")
        engine.docker("plugin", "rm", f"{name}:{version}")

    engine.docker("plugin", "install", "--alias", "volumes", f"{name}:1")
    engine.docker("volume", "create", "-d", "volumes", "shelf")
    assert engine.inspect_volume("shelf")["Status"] == {"version": "1"}
    engine.docker("volume", "rm", "shelf")

    engine.docker("plugin", "disable", "volumes")
    engine.docker("plugin", "upgrade", "--skip-remote-check", "volumes", f"{name}:2")
    engine.docker("plugin", "enable", "volumes")
    engine.docker("volume", "create", "-d", "volumes", "shelf")
    assert engine.inspect_volume("shelf")["Status"] == {"version": "2"}
    engine.docker("volume", "rm", "shelf")

    engine.docker("plugin", "disable", "volumes")
    engine.docker("plugin", "rm", "volumes")
    assert engine.docker("plugin", "ls", "-q").stdout == ""
