"""Settings that lint and inspect list, compared with those that engines accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.settable import list_settings
from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.requirement import require

# The parser has not changed since 1.13; 'make matrix' runs the test with every engine.
pytestmark = [pytest.mark.e2e, pytest.mark.newest_engine]

NAMES = ["plain", "UP", "up", "log.level", ".dot", "..x", "end.", "a/b", "e q", "x,y", "k=v", "", "p.value"]


def env(name: str, *settable: str) -> dict[str, Any]:
    return {"Name": name, "Value": "default", "Settable": settable}


def mount(name: str, source: str | None, *settable: str) -> dict[str, Any]:
    return {"Name": name, "Source": source, "Destination": "/m", "Type": "bind", "Settable": settable}


def device(name: str, path: str | None) -> dict[str, Any]:
    return {"Name": name, "Path": path, "Settable": ["path"]}


CONFIG: dict[str, Any] = {
    "Env": [
        *(env(name, "value") for name in NAMES),
        env("two", "value", "ip"),
        env("twice", "value", "value"),
        env("upper", "Value"),
        env("word", "ip"),
        env("shared"),
        env("again"),
        env("again", "value"),
    ],
    "Mounts": [
        mount("shared", "/tmp", "source"),
        mount("/etc/h.d", "/tmp", "source"),
        mount("null", None, "source"),
        mount("empty", "", "source"),
        mount("case", "/tmp", "Source"),
        mount("both", "/tmp", "source"),
    ],
    "Linux": {
        "Devices": [
            device("both", "/dev/null"),
            device("none", None),
            device("unset", ""),
            device("/dev/x", "/dev/null"),
        ]
    },
    "Args": {"Name": "args.x", "Value": ["a"], "Settable": ["value"]},
}


def test_the_listed_keys_are_those_that_the_engine_accepts(engine: Engine, tmp_path: Path) -> None:
    require(plugins.missing())
    plugins.volume_plugin(tmp_path / "plugin")
    path = tmp_path / "plugin/config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | CONFIG))
    engine.docker("plugin", "create", "settings/all:1", str(tmp_path / "plugin"))

    def values() -> dict[tuple[str, int], object]:
        settings = engine.inspect_plugin("settings/all:1")["Settings"]
        changed: dict[tuple[str, int], object] = {("args", 0): settings["Args"]}
        changed |= {("env", number): text for number, text in enumerate(settings["Env"])}
        changed |= {("mount", number): item["Source"] for number, item in enumerate(settings["Mounts"])}
        return changed | {("device", number): item["Path"] for number, item in enumerate(settings["Devices"])}

    accepted: dict[str, tuple[str, int]] = {}
    before = values()

    def set_value(key: str) -> None:
        """Set a key to another value, and record the item that changed if the engine accepts the key."""
        nonlocal before
        if engine.docker("plugin", "set", "settings/all:1", "--", f"{key}={len(accepted)}", check=False).exit_code == 0:
            now = values()
            (accepted[key],) = (item for item, value in now.items() if value != before[item])
            before = now

    for group, fields in (
        (CONFIG["Env"], ["value", "Value"]),
        (CONFIG["Mounts"], ["source"]),
        (CONFIG["Linux"]["Devices"], ["path"]),
        ([CONFIG["Args"]], ["value"]),
    ):
        for name in dict.fromkeys(item["Name"] for item in group):
            for key in (name, *(f"{name}.{field}" for field in fields)):
                set_value(key)

    listed = {setting.key: setting.kind for setting in list_settings(PluginConfig.parse(path.read_bytes()))}
    assert {key: accepted[key][0] for key in listed} == listed
    # Every other accepted key is another spelling for an item of the list.
    assert set(accepted.values()) == {accepted[key] for key in listed}
    assert len(set(accepted.values())) == len(listed)
