"""Interface types and protocols, as engines use them. docs/INTERFACE_TYPES.md has the table."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint.interface_checks import check_interface
from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.requirement import require

# Engines 20.10 and 26.1 behave alike; 'make matrix' runs the tests with both.
pytestmark = [pytest.mark.e2e, pytest.mark.newest_engine]

CAPABILITY_ABSENT = "plugin does not provide"
NO_NETWORK_DRIVER = "could not resolve driver .* in registry"
NO_ADDRESS_DRIVER = "invalid ipam driver"
#: Types, with a part of the engine's message if the engine does not find the plugin by its type.
TYPES = {
    "docker.volumedriver/1.1": "",
    "docker.volumedriver/2": "",
    "docker.volumedriver/": "",
    "docker.volumedriver": CAPABILITY_ABSENT,
    "docker.VolumeDriver/1.0": CAPABILITY_ABSENT,
    "docker.networkdriver/1.0": "",
    "docker.networkdriver/1.1": NO_NETWORK_DRIVER,
    "docker.networkdriver/": NO_NETWORK_DRIVER,
    "docker.ipamdriver/1.0": "",
    "docker.ipamdriver/2": NO_ADDRESS_DRIVER,
    "docker.logdriver/1.0": "",
    "docker.logdriver/1.1": "",
    "docker.metricscollector/1.0": "",
    "docker.metricscollector/1.1": "no socket of the metrics",
}
#: Codes of findings that say that the engine in the test does not use a type.
NOT_USED = {"type-unknown", "type-mangled"}


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    require(plugins.missing())


def make(folder: Path, interface_type: str, scheme: str = "") -> PluginConfig:
    """Write a driver of one type into a folder, and return its config."""
    plugins.volume_plugin(folder)
    config = json.loads((folder / "config.json").read_bytes())
    config["Interface"] |= {"Types": [interface_type], "ProtocolScheme": scheme}
    content = json.dumps(config).encode()
    (folder / "config.json").write_bytes(content)
    (folder / "rootfs/unique").write_text(str(folder))
    return PluginConfig.parse(content)


def create(engine: Engine, reference: str, folder: Path) -> None:
    """Create and enable a plugin from a folder."""
    engine.docker("plugin", "create", reference, str(folder))
    engine.docker("plugin", "enable", reference)


def use(engine: Engine, interface_type: str, reference: str) -> str:
    """Let an engine look the plugin up, and return the error message; empty if the engine finds the plugin."""
    name = reference.replace("/", "-").replace(":", "-")
    match re.search(r"\w+driver|\w+collector", interface_type.lower()):
        case re.Match() as found if found[0] == "volumedriver":
            command = ["volume", "create", "--driver", reference]
        case re.Match() as found if found[0] == "networkdriver":
            command = ["network", "create", "--driver", reference, name]
        case re.Match() as found if found[0] == "ipamdriver":
            command = ["network", "create", "--driver", "types/network:1", "--ipam-driver", reference, name]
        case re.Match() as found if found[0] == "logdriver":
            command = ["create", "--log-driver", reference, "empty:1", "/nothing"]
        case _:
            # The runtime leaves the file behind over which it mounts the socket with the engine's metrics.
            rootfs = engine.folder / "data/plugins" / engine.inspect_plugin(reference)["Id"] / "rootfs"
            return "" if (rootfs / "run/docker/metrics.sock").exists() else "no socket of the metrics"
    return engine.docker(*command, check=False).stderr


@pytest.fixture(scope="module")
def told(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[set[str], str]]]:
    """Codes of the findings, and message of the engine, for each type."""
    folder = tmp_path_factory.mktemp("types")
    with tarfile.open(folder / "empty.tar", "w"):
        pass
    engine.docker("import", str(folder / "empty.tar"), "empty:1")
    make(folder / "network", "docker.networkdriver/1.0")
    create(engine, "types/network:1", folder / "network")

    def look_up(number: int, interface_type: str) -> tuple[set[str], str]:
        config = make(folder / str(number), interface_type)
        create(engine, f"types/t{number}:1", folder / str(number))
        codes = {finding.code for finding in check_interface(config.interface)}
        return codes & NOT_USED, use(engine, interface_type, f"types/t{number}:1")

    with ThreadPoolExecutor(4) as pool:
        yield dict(zip(TYPES, pool.map(look_up, range(len(TYPES)), TYPES), strict=True))


@pytest.mark.parametrize("interface_type", TYPES)
def test_a_type_is_reported_if_the_engine_does_not_find_it(
    interface_type: str, told: dict[str, tuple[set[str], str]]
) -> None:
    codes, message = told[interface_type]
    if TYPES[interface_type]:
        assert re.search(TYPES[interface_type], message)
    else:
        assert message == ""
    assert bool(codes) == bool(message)


@pytest.fixture
def with_scheme(engine: Engine, tmp_path: Path) -> Callable[[str], str]:
    """Create a plugin with another protocol, not yet enabled, and return its reference."""

    def create_with_scheme(capability: str) -> str:
        reference = f"scheme/{capability}:1"
        config = make(tmp_path / capability, f"docker.{capability}/1.0", "other")
        severities = [f.severity.value for f in check_interface(config.interface) if f.code == "protocol-scheme"]
        assert severities == ([] if capability.startswith("csi") else ["error"])
        engine.docker("plugin", "create", reference, str(tmp_path / capability))
        return reference

    return create_with_scheme


def test_another_protocol_is_harmless_with_csi_and_aborts_or_kills_with_http(
    engine: Engine, with_scheme: Callable[[str], str]
) -> None:
    engine.docker("plugin", "enable", with_scheme("csinode"))
    engine.docker("volume", "ls")

    for capability in ("networkdriver", "ipamdriver", "metricscollector"):
        tried = engine.docker("plugin", "enable", with_scheme(capability), check=False)
        assert tried.exit_code == 1
        assert "EOF" in tried.stderr
    engine.docker("volume", "ls")

    engine.docker("plugin", "enable", with_scheme("volumedriver"))
    assert engine.docker("volume", "ls", check=False).exit_code == 1
    assert "nil pointer dereference" in engine.log.read_text(errors="replace").rpartition("panic: ")[2]
    # This is the last test of this engine: the engine is dead.
    assert engine.docker("version", check=False).exit_code == 1
