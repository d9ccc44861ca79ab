"""The ways to install a plugin that `inspect` prints, on real engines: commands, a script, and a service of a swarm."""

from __future__ import annotations

import asyncio
import copy
import fcntl
import json
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from mirror.authoring.installing.install_lines import CRASHES_ON_DIGEST
from mirror.plugin.policy.engine_vulnerabilities import CRASH_BY_DIGEST, Exposure
from tests.harness import plugins
from tests.harness.command import CompletedRun, run
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import PackedPlugin, pack, packed_from
from tests.harness.ports import free_port
from tests.harness.pushing import push
from tests.harness.requirement import require
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine]

OWN_NAME = "CONTIV_NETMASTER_PLUGIN_NAME"
SOCKET = {"Socket": "volumes.sock"}


@pytest.fixture(scope="module")
def engine(binaries: Path | None) -> Iterator[Engine]:
    """An engine that accepts services of plugins."""
    require(plugins.missing())
    with Engine(binaries=binaries, daemon_json={"experimental": True}) as engine:
        yield engine


def packed(folder: Path, **members: Any) -> PackedPlugin:
    """Pack the volume driver with other members of its config."""
    plain = pack(plugins.volume_plugin(folder))
    return packed_from(json.dumps(json.loads(plain.config) | members).encode(), plain.layer)


def lines_of(mirror: Mirror, name: str) -> dict[str, dict[str, Any]]:
    """Return the install lines of a plugin by kind."""
    shown = json.loads(mirror.command("inspect", name, "--quick", "--json").stdout)
    return {line["kind"]: line for line in shown["install_lines"]}


def install(engine: Engine, command: str, *more: str) -> None:
    program, *words = shlex.split(command)
    assert program == "docker"
    engine.docker(*words[:2], "--grant-all-permissions", *words[2:], *more)


def own_name(engine: Engine, name: str) -> str:
    env = dict(pair.split("=", 1) for pair in engine.inspect_plugin(name)["Settings"]["Env"])
    return str(env[OWN_NAME])


@pytest.mark.parametrize("changes", [[], ["--env", f"{OWN_NAME}=site/network:2.0"]], ids=["renamed", "derived"])
def test_a_renamed_network_driver_is_found_by_its_own_name(
    changes: list[str], engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    env = {"Name": OWN_NAME, "Value": "netplugin", "Settable": ["value"]}
    driver = packed(tmp_path, Env=[env], Interface={"Types": ["docker.networkdriver/1.0"], **SOCKET})
    push(driver, mirror.url, "store/contiv/v2plugin", "2.0")
    renamed = mirror.command("derive" if changes else "tag", "store/contiv/v2plugin:2.0", "site/network:2.0", *changes)
    told = f"{OWN_NAME} is netplugin, so the driver does not know its name site/network:2.0"
    assert (told in renamed.stderr) == (not changes)
    lint = json.loads(mirror.command("lint", "site/network:2.0", "--json").stdout)["findings"]
    assert [one["severity"] for one in lint if one["code"] == "own-name"] == ["hint" if changes else "warning"]

    line = lines_of(mirror, "site/network:2.0")["name"]
    install(engine, line["command"])
    assert engine.inspect_plugin("site/network:2.0")["Name"] == own_name(engine, "site/network:2.0")
    assert line["driver"] == own_name(engine, "site/network:2.0")
    create = shlex.split(line["uses"][0].replace("NETWORK", "kept"))[1:]
    engine.docker(*create, "--ipam-driver", "null")
    engine.docker("network", "rm", "kept")
    engine.docker("plugin", "rm", "-f", "site/network:2.0")


def test_engines_find_the_driver_of_a_network_only_by_a_name_with_its_tag(
    engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    driver = packed(tmp_path, Interface={"Types": ["docker.networkdriver/1.0"], **SOCKET})
    push(driver, mirror.url, "acme/net-plugin", "1")
    line = lines_of(mirror, "acme/net-plugin:1")["alias"]
    install(engine, line["command"])
    assert line["driver"] == "acme:latest"
    create = ("network", "create", "--ipam-driver", "null", "-d")
    failed = engine.docker(*create, "acme", "kept", check=False)
    assert "could not resolve driver acme in registry" in failed.stderr
    engine.docker(*create, "acme:latest", "kept")
    engine.docker("network", "rm", "kept")
    engine.docker("plugin", "rm", "-f", "acme")


def test_each_line_installs_a_volume_driver_that_its_name_finds(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    push(packed(tmp_path), mirror.url, "grafana/loki-docker-driver", "3.2")
    lines = lines_of(mirror, "grafana/loki-docker-driver:3.2")
    printed = mirror.command("inspect", "grafana/loki-docker-driver:3.2", "--as", "docker")
    assert printed.stdout.splitlines() == [line["command"] for line in lines.values()]
    assert lines["alias"]["driver"] == "loki"
    assert [kind for kind, line in lines.items() if line["note"] == CRASHES_ON_DIGEST] == ["digest"]
    if CRASH_BY_DIGEST.exposure(engine.version()) is Exposure.AFFECTED:
        del lines["digest"]
    for line in lines.values():
        install(engine, line["command"])
        engine.docker(*shlex.split(line["uses"][0].replace("VOLUME", "kept"))[1:])
        assert engine.inspect_volume("kept")["Status"] == {"version": "1"}
        engine.docker("volume", "rm", "kept")
        engine.docker("plugin", "rm", "-f", line["driver"])


def run_script(engine: Engine, script: str, *arguments: str) -> CompletedRun:
    """Run a script on a host with the engine, as ``sh -s`` reads it from a pipe."""
    command = ["sh", "-s", "--", *arguments]
    return run(command, input_text=script, environment=engine.client_environment, check=False)


def wait(condition: Callable[[], object]) -> None:
    asyncio.run(until(condition))


def test_the_script_installs_sets_and_upgrades_and_then_changes_nothing(
    engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    members = {
        "Network": {"Type": "host"},
        "Env": [{"Name": "DEBUG", "Value": "0", "Settable": ["value"]}],
        "Mounts": [
            {
                "Name": "state",
                "Type": "bind",
                "Options": ["rbind"],
                "Destination": "/state",
                "Source": "",
                "Settable": ["source"],
            }
        ],
    }
    push(packed(tmp_path / "1", **members), mirror.url, "acme/volumes", "1")
    second = pack(plugins.volume_plugin(tmp_path / "2", version="2", network="host"))
    moved = packed_from(json.dumps(json.loads(second.config) | members).encode(), second.layer)
    script = mirror.command("inspect", "acme/volumes:1", "--as", "script").stdout
    settings = ("DEBUG=1", "state=/tmp")

    asked = run_script(engine, script, *settings)
    assert (asked.exit_code, engine.docker("plugin", "ls", "-q").stdout) == (1, "")
    assert "  - network: [host]\n" in asked.stderr
    assert run_script(engine, script, "--yes", *settings).exit_code == 0
    described = engine.inspect_plugin("volumes:latest")
    assert described["Enabled"]
    assert described["Settings"]["Env"] == ["DEBUG=1"]
    assert [mount["Source"] for mount in described["Settings"]["Mounts"]] == ["/tmp"]
    again = run_script(engine, script, *settings)
    assert (again.exit_code, again.stdout) == (0, "volumes:latest is installed and enabled\n")
    wrong = run_script(engine, script, "nope=1")
    assert 'setting "nope" not found' in wrong.stderr
    assert engine.inspect_plugin("volumes:latest")["Enabled"]

    # The tag moves, then the reference changes.
    push(moved, mirror.url, "acme/volumes", "1")
    push(moved, mirror.url, "acme/volumes", "2")
    for tag in ("1", "2"):
        script = mirror.command("inspect", f"acme/volumes:{tag}", "--as", "script").stdout
        assert run_script(engine, script, *settings).exit_code == 1
        assert engine.inspect_plugin("volumes:latest")["Enabled"]
        assert run_script(engine, script, "--yes", *settings).exit_code == 0
        described = engine.inspect_plugin("volumes:latest")
        assert (described["PluginReference"], described["Enabled"]) == (f"{mirror.host}/acme/volumes:{tag}", True)
        assert [mount["Source"] for mount in described["Config"]["Mounts"]] == ["/tmp"]
        engine.docker("volume", "create", "-d", "volumes", "kept")
        assert engine.inspect_volume("kept")["Status"] == {"version": "2"}
        engine.docker("volume", "rm", "kept")

    push(moved, mirror.url, "other/volumes", "2")
    other = run_script(engine, mirror.command("inspect", "other/volumes:2", "--as", "script").stdout, "--yes")
    assert (other.exit_code, "volumes:latest is another plugin" in other.stderr) == (1, True)
    engine.docker("plugin", "rm", "-f", "volumes")


@pytest.fixture
def one_swarm_at_a_time() -> Iterator[None]:
    """Wait until no other process of the tests has a swarm: each needs the bridge docker_gwbridge of the host."""
    with (Path(tempfile.gettempdir()) / "plugin-mirror-tests-swarm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def swarm(engine: Engine, one_swarm_at_a_time: None) -> Iterator[Engine]:
    """The engine as a swarm of one node."""
    listen_on = f"127.0.0.1:{free_port()}"
    engine.docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", listen_on)
    try:
        yield engine
    finally:
        # The engine makes this bridge soon after the swarm, and leaves it to the host.
        wait(lambda: "docker_gwbridge" in engine.docker("network", "ls").stdout)
        engine.docker("swarm", "leave", "--force")
        engine.docker("network", "rm", "docker_gwbridge")
        wait(lambda: not Path("/sys/class/net/docker_gwbridge").exists())


def test_a_swarm_and_the_python_client_install_it(swarm: Engine, mirror: Mirror, tmp_path: Path) -> None:
    env = {"Name": OWN_NAME, "Value": "netplugin", "Settable": ["value"]}
    more = {"Env": [env, {"Name": "DEBUG", "Value": "0"}], "Network": {"Type": "host"}}
    driver = packed(tmp_path, **more, Linux={"Capabilities": ["CAP_NET_ADMIN"]})
    push(driver, mirror.url, "acme/volumes", "4")
    spec = json.loads(mirror.command("inspect", "acme/volumes:4", "--as", "swarm").stdout)
    refused = copy.deepcopy(spec)
    refused["Name"], refused["TaskTemplate"]["PluginSpec"]["Name"] = "refused", "refused:latest"
    refused["TaskTemplate"]["PluginSpec"]["Privileges"].pop()

    client = docker.DockerClient(base_url=f"unix://{swarm.socket}")
    try:
        create = client.api._url("/services/create")  # the client has no method for a service without a container
        made = [client.api._result(client.api._post_json(create, data=one), json=True) for one in (spec, refused)]
        enabled = ("plugin", "ls", "--filter", "enabled=true", "--format", "{{.Name}}")
        wait(lambda: "acme/volumes:4" in swarm.docker(*enabled).stdout)
        assert own_name(swarm, "acme/volumes:4") == "acme/volumes:4"
        assert "DEBUG=0" in swarm.inspect_plugin("acme/volumes:4")["Settings"]["Env"]
        wait(lambda: 'error="incorrect privileges"' in swarm.log.read_text())
        assert [plugin.name for plugin in client.plugins.list()] == ["acme/volumes:4"]
        for service in made:
            client.api.remove_service(service["ID"])
        wait(lambda: not client.plugins.list())

        line = lines_of(mirror, "acme/volumes:4")["name"]
        _, _, _, _, alias, reference, setting = shlex.split(line["command"])
        plugin = client.plugins.install(reference, alias)
        plugin.configure(dict([setting.split("=", 1)]))
        plugin.enable()
        assert own_name(swarm, alias) == alias
        client.volumes.create("kept", driver=line["driver"]).remove()
        plugin.remove(force=True)
    finally:
        client.close()
