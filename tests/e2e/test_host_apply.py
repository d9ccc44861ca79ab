"""`host apply` with real engines: install, change, upgrade, and the way back from a version that does not start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.command import CompletedRun
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

SETTABLE = {"Description": "", "Settable": ["value"]}


@pytest.fixture(scope="module", autouse=True)
def _versions(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three versions of a volume driver: 1.0 and 2.0 work, and the entrypoint of 3.0 is missing."""
    require(plugins.missing())
    one = {"Name": "MODE", "Value": "one", **SETTABLE}
    versions: dict[str, dict[str, Any]] = {
        "1.0": {"Env": [one]},
        "2.0": {"Env": [one | {"Value": "two"}, {"Name": "EXTRA", "Value": "new", **SETTABLE}]},
        "3.0": {"Env": [one | {"Value": "three"}], "Entrypoint": ["/nope"]},
    }
    for version, members in versions.items():
        folder = plugins.volume_plugin(tmp_path_factory.mktemp("plugin") / version, version=version, network="host")
        config = json.loads((folder / "config.json").read_bytes()) | members
        (folder / "config.json").write_text(json.dumps(config))
        mirror.command("pack", str(folder), "-t", f"site/volumes:{version}")


class Host:
    """A Docker host whose plugins are described in a file."""

    def __init__(self, engine: Engine, mirror: Mirror, folder: Path) -> None:
        self.engine = engine
        self.mirror = mirror
        self.file = folder / "plugins.json"

    def apply(self, *wanted: Mapping[str, Any], options: tuple[str, ...] = ("--yes",)) -> CompletedRun:
        """Run `host apply` for plugins. Their names are those at the mirror, without its address."""
        listed = [{**one, "name": f"{self.mirror.host}/{one['name']}"} for one in wanted]
        self.file.write_text(json.dumps({"plugins": listed}))
        socket = f"unix://{self.engine.socket}"
        return plugin_mirror("host", "apply", str(self.file), "--socket", socket, "--json", *options, check=False)

    def state(self, alias: str) -> tuple[str, bool, list[str]]:
        """Return the version, the state and the variables of a plugin."""
        found = self.engine.inspect_plugin(alias)
        return found["Config"]["Description"].rpartition(" ")[2], found["Enabled"], sorted(found["Settings"]["Env"])


@pytest.fixture
def host(engine: Engine, mirror: Mirror, tmp_path: Path) -> Host:
    return Host(engine, mirror, tmp_path)


def outcomes(run: CompletedRun) -> list[str]:
    return [plugin["outcome"] for plugin in json.loads(run.stdout)["plugins"]]


def test_a_host_gets_its_plugins_once(host: Host) -> None:
    first = {"name": "site/volumes:1.0", "alias": "fresh/first:1", "settings": {"MODE": "set"}}
    second = {"name": "site/volumes:2.0", "alias": "fresh/second:1", "enabled": False}

    refused = host.apply(first, second, options=())
    assert refused.exit_code == 1
    assert "--grant sha256:" in refused.stderr

    planned = json.loads(host.apply(first, second, options=("--dry-run",)).stdout)
    assert planned["changes"] == 2
    grants = [f"--grant={plugin['digest']}" for plugin in planned["plugins"]]
    done = host.apply(first, second, options=tuple(grants))
    assert (done.exit_code, outcomes(done)) == (0, ["done", "done"])
    assert host.state("fresh/first:1") == ("1.0", True, ["MODE=set"])
    assert host.state("fresh/second:1") == ("2.0", False, ["EXTRA=new", "MODE=two"])

    again = host.apply(first, second, options=())
    assert (again.exit_code, outcomes(again)) == (0, ["unchanged", "unchanged"])

    changed = host.apply(first | {"settings": {"MODE": "other"}}, second | {"enabled": True}, options=())
    assert (changed.exit_code, outcomes(changed)) == (0, ["done", "done"])
    assert host.state("fresh/first:1") == ("1.0", True, ["MODE=other"])

    gone = host.apply({"name": "x", "alias": "fresh/first:1", "state": "absent"}, second | {"enabled": True})
    assert (gone.exit_code, outcomes(gone)) == (0, ["done", "unchanged"])
    assert host.engine.docker("plugin", "inspect", "fresh/first:1", check=False).exit_code == 1


def test_an_upgrade_applies_new_defaults(host: Host) -> None:
    wanted = {"alias": "upgraded:1", "settings": {"MODE": "set"}}
    assert host.apply(wanted | {"name": "site/volumes:1.0"}).exit_code == 0
    done = host.apply({"alias": "upgraded:1", "name": "site/volumes:2.0"})
    assert (done.exit_code, outcomes(done)) == (0, ["done"])
    assert host.state("upgraded:1") == ("2.0", True, ["EXTRA=new", "MODE=two"])
    assert outcomes(host.apply({"alias": "upgraded:1", "name": "site/volumes:2.0"}, options=())) == ["unchanged"]


def test_a_version_that_does_not_start_is_rolled_back(host: Host) -> None:
    wanted = {"alias": "kept:1", "settings": {"MODE": "set"}}
    assert host.apply(wanted | {"name": "site/volumes:1.0"}).exit_code == 0
    fresh = {"alias": "beside:1", "name": "site/volumes:1.0"}
    failed = host.apply(wanted | {"name": "site/volumes:3.0"}, fresh)
    assert (failed.exit_code, outcomes(failed)) == (1, ["rolled back", "done"])
    (told, _) = json.loads(failed.stdout)["plugins"]
    assert told["done"] == ["disable", "upgrade"]
    assert "/nope" in told["error"]
    assert host.state("kept:1") == ("1.0", True, ["MODE=set"])

    failed = host.apply({"alias": "never:1", "name": "site/volumes:3.0"})
    assert (failed.exit_code, outcomes(failed)) == (1, ["rolled back"])
    assert host.engine.docker("plugin", "inspect", "never:1", check=False).exit_code == 1


def test_a_plugin_in_use_is_left_alone(host: Host) -> None:
    wanted = {"alias": "used:1", "name": "site/volumes:1.0"}
    assert host.apply(wanted).exit_code == 0
    host.engine.docker("volume", "create", "-d", "used:1", "held")
    busy = host.apply(wanted | {"settings": {"MODE": "set"}})
    assert (busy.exit_code, outcomes(busy)) == (1, ["not changed"])
    assert "in use" in json.loads(busy.stdout)["plugins"][0]["error"]
    assert host.state("used:1") == ("1.0", True, ["MODE=one"])
    forced = host.apply(wanted | {"settings": {"MODE": "set"}}, options=("--yes", "--force"))
    assert (forced.exit_code, outcomes(forced)) == (0, ["done"])


def test_a_host_that_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "plugins.yaml").write_text("plugins: [{name: mirror:5000/x:1}]")
    absent = tmp_path / "engine.sock"
    run = plugin_mirror("host", "apply", str(tmp_path / "plugins.yaml"), "--socket", str(absent), check=False)
    assert run.exit_code == 3
    assert run.stderr.startswith(f"error: no Docker Engine can be reached at {absent}: No such file or directory")
