"""`host apply` with real engines: install, change, upgrade, and the way back from a version that does not start."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.command import CompletedRun
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.packing import pack
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.newest_engine]

SETTABLE = {"Description": "", "Settable": ["value"]}


@pytest.fixture(scope="module", autouse=True)
def _versions(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three versions of a volume driver: 1.0 and 2.0 work, and the entrypoint of 3.0 is missing."""
    require(plugins.missing())
    mode = {"Name": "MODE", "Value": "one", **SETTABLE}
    devices = [{"Name": "dev", "Path": "/dev/null", "Settable": ["path"]}]
    # Engines sort the capabilities of installed plugins.
    device = {"Linux": {"Capabilities": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"], "Devices": devices}}
    mount = {"Name": "m", "Source": "/usr", "Destination": "/m", "Type": "bind", "Options": ["rbind", "ro"]}
    extra = {"Name": "EXTRA", "Value": "new", **SETTABLE}
    versions: dict[str, dict[str, Any]] = {
        "1.0": {"Env": [mode], **device},
        "2.0": {"Env": [mode | {"Value": "two"}, extra], "Mounts": [mount], **device},
        "3.0": {"Env": [mode | {"Value": "three"}], "Entrypoint": ["/nope"]},
    }
    for version, members in versions.items():
        folder = plugins.volume_plugin(tmp_path_factory.mktemp("plugin") / version, version=version, network="host")
        config = json.loads((folder / "config.json").read_bytes()) | members
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "rootfs/m").mkdir()
        push(pack(folder), mirror.url, "site/volumes", version)


class Host:
    """A Docker host whose plugins are described in a file."""

    def __init__(self, engine: Engine, mirror: Mirror, folder: Path) -> None:
        self.engine = engine
        self.mirror = mirror
        self.file = folder / "plugins.json"

    def apply(self, *wanted: Mapping[str, Any], options: Sequence[str] = ("--yes",)) -> CompletedRun:
        """Run `host apply` for versions of the driver. The name of each is its tag."""
        listed = [{**one, "name": f"{self.mirror.host}/site/volumes:{one['name']}"} for one in wanted]
        self.file.write_text(json.dumps({"plugins": listed}))
        socket = f"unix://{self.engine.socket}"
        return plugin_mirror("host", "apply", str(self.file), "--socket", socket, "--json", *options, check=False)

    def state(self, alias: str) -> tuple[str, bool, list[str]]:
        """Return the version, the state and the variables of a plugin."""
        found = self.engine.inspect_plugin(alias)
        return found["Config"]["Description"].rpartition(" ")[2], found["Enabled"], sorted(found["Settings"]["Env"])

    def mounts(self, alias: str) -> set[str]:
        """Return the mount points in the running process of a plugin."""
        plugin_id = self.engine.inspect_plugin(alias)["Id"]
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                told = (process / "mountinfo").read_text()
                if plugin_id in told and b"volume-driver" in (process / "cmdline").read_bytes():
                    return {line.split()[4] for line in told.splitlines()}
        raise AssertionError(f"{alias} does not run")

    def lacks(self, alias: str) -> bool:
        return self.engine.docker("plugin", "inspect", alias, check=False).exit_code == 1


@pytest.fixture(scope="module")
def host(engine: Engine, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with the plugins `upgraded`, `kept` and `used` of version 1.0. A volume of `used` exists."""
    host = Host(engine, mirror, tmp_path_factory.mktemp("host"))
    first = {"name": "1.0", "settings": {"MODE": "set"}}
    done = host.apply(*(first | {"alias": f"{name}:1"} for name in ("upgraded", "kept", "used")))
    assert (done.exit_code, outcomes(done)) == (0, ["done", "done", "done"])
    engine.docker("volume", "create", "-d", "used:1", "held")
    return host


def outcomes(run: CompletedRun) -> list[str]:
    return [plugin["outcome"] for plugin in json.loads(run.stdout)["plugins"]]


def test_a_host_gets_its_plugins_once(host: Host) -> None:
    first = {"name": "1.0", "alias": "fresh/first:1", "settings": {"MODE": "set"}}
    second = {"name": "2.0", "alias": "fresh/second:1", "enabled": False}

    refused = host.apply(first, second, options=())
    assert refused.exit_code == 1
    assert host.lacks("fresh/first:1")
    grants = re.findall(r"--grant sha256:\w{64}", refused.stderr)
    assert len(grants) == 2

    done = host.apply(first, second, options=[word for grant in grants for word in grant.split()])
    assert (done.exit_code, outcomes(done)) == (0, ["done", "done"])
    assert host.state("fresh/first:1") == ("1.0", True, ["MODE=set"])
    assert host.state("fresh/second:1") == ("2.0", False, ["EXTRA=new", "MODE=two"])

    again = host.apply(first, second, options=())
    assert (again.exit_code, outcomes(again)) == (0, ["unchanged", "unchanged"])

    changed = host.apply(
        first | {"settings": {"MODE": "other"}},
        {"name": "2.0", "alias": "fresh/second:1", "state": "absent"},
        options=(),
    )
    assert (changed.exit_code, outcomes(changed)) == (0, ["done", "done"])
    assert host.state("fresh/first:1") == ("1.0", True, ["MODE=other"])
    assert host.lacks("fresh/second:1")


def test_an_upgrade_applies_new_defaults_and_mounts_and_no_new_device(host: Host) -> None:
    done = host.apply({"name": "2.0", "alias": "upgraded:1"})
    assert (done.exit_code, outcomes(done)) == (0, ["done"])
    assert host.state("upgraded:1") == ("2.0", True, ["EXTRA=new", "MODE=two"])
    assert "/m" in host.mounts("upgraded:1")

    vain = host.apply({"name": "2.0", "alias": "upgraded:1", "settings": {"dev": "/dev/zero"}})
    assert (vain.exit_code, outcomes(vain)) == (1, ["rolled back"])
    assert "accepted dev for upgraded:1, and the setting has no effect" in vain.stdout
    assert host.state("upgraded:1") == ("2.0", True, ["EXTRA=new", "MODE=two"])


def test_a_version_that_does_not_start_is_rolled_back_and_others_go_on(host: Host) -> None:
    failed = host.apply(
        {"name": "3.0", "alias": "kept:1"}, {"name": "3.0", "alias": "never:1"}, {"name": "1.0", "alias": "beside:1"}
    )
    assert (failed.exit_code, outcomes(failed)) == (1, ["rolled back", "rolled back", "done"])
    told = json.loads(failed.stdout)["plugins"][0]
    assert told["done"] == ["disable", "upgrade", "set"]
    assert "/nope" in told["error"]
    assert told["left"].endswith("/site/volumes:1.0, enabled")
    assert host.state("kept:1") == ("1.0", True, ["MODE=set"])
    assert host.lacks("never:1")


def test_a_plugin_in_use_is_left_alone(host: Host) -> None:
    busy = host.apply({"name": "1.0", "alias": "used:1", "settings": {"MODE": "other"}})
    assert (busy.exit_code, outcomes(busy)) == (1, ["not changed"])
    assert "is in use by volumes" in json.loads(busy.stdout)["plugins"][0]["error"]
    assert host.state("used:1") == ("1.0", True, ["MODE=set"])


def test_a_host_that_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "plugins.yaml").write_text("plugins: [{name: mirror:5000/x:1}]")
    absent = tmp_path / "engine.sock"
    run = plugin_mirror("host", "apply", str(tmp_path / "plugins.yaml"), "--socket", str(absent), check=False)
    assert run.exit_code == 3
    assert run.stderr.startswith(f"error: no Docker Engine can be reached at {absent}: No such file or directory")
