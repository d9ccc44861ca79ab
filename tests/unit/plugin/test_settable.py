"""Keys of settings, compared with a model of the engines' parser. tests/e2e/test_settings.py compares the engines."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.settable import list_settings

Config = dict[str, Any]


def parse(value: Config) -> PluginConfig:
    return PluginConfig.parse(json.dumps(value).encode())


def found(value: Config) -> list[tuple[str, str, str | None, bool]]:
    return [(item.kind, item.key, item.default, item.must_be_set) for item in list_settings(parse(value))]


def env(name: str, *settable: str) -> Config:
    return {"Env": [{"Name": name, "Value": "1", "Settable": settable}]}


def test_each_kind_and_its_default() -> None:
    value = {
        "env": [{"name": "DEBUG", "value": "0", "settable": ["value"]}, {"name": "TOKEN", "settable": ["value"]}],
        "mounts": [
            {"name": "state", "source": "/x", "settable": ["source"]},
            {"name": "key", "source": "", "settable": ["source"]},
            {"name": "null", "settable": ["source"]},
        ],
        "linux": {
            "devices": [
                {"name": "disk", "path": "", "settable": ["path"]},
                {"name": "tape", "path": "/dev/st0", "settable": ["path"]},
                {"name": "none", "settable": ["path"]},
            ]
        },
        "args": {"name": "args", "value": ["-a", "b"], "settable": ["value"]},
    }
    assert found(value) == [
        ("env", "DEBUG", "0", False),
        ("env", "TOKEN", None, False),
        ("mount", "state", "/x", False),
        ("mount", "key", "", False),
        ("device", "disk", "", True),
        ("device", "tape", "/dev/st0", False),
        ("args", "args", "-a b", False),
    ]


@pytest.mark.parametrize(
    ("name", "settable", "keys"),
    [
        ("A", ["value"], ["A"]),
        ("A", ["value", "ip"], ["A.value"]),
        ("A", ["value", "value"], ["A.value"]),
        ("A", ["Value"], []),
        ("A", ["ip"], []),
        ("A", [], []),
        ("log.level", ["value"], ["log.level.value"]),
        (".dot", ["value"], [".dot"]),
        ("..x", ["value"], ["..x.value"]),
        ("end.", ["value"], ["end..value"]),
        ("a.value", ["value"], ["a.value.value"]),
        ("/etc/h", ["value"], ["/etc/h"]),
        ("a b,c", ["value"], ["a b,c"]),
        ("a=b", ["value"], []),
        ("=", ["value"], []),
        ("", ["value"], []),
    ],
)
def test_the_key_is_the_text_that_engines_accept(name: str, settable: list[str], keys: list[str]) -> None:
    assert [setting.key for setting in list_settings(parse(env(name, *settable)))] == keys


def test_the_first_item_with_a_name_takes_it() -> None:
    mounts = [{"Name": name, "Source": "/tmp", "Settable": ["source"]} for name in ("A", "B", "B", "b")]
    value = env("A") | {"Mounts": mounts, "Args": {"Name": "B", "Settable": ["value"]}}
    assert [(setting.kind, setting.key) for setting in list_settings(parse(value))] == [("mount", "B"), ("mount", "b")]


class Engine:
    """Model of the parser of engines, written from what engines 20.10 and 26.1 accept and change."""

    FIELDS: ClassVar = {"Env": "value", "Mounts": "source", "Devices": "path", "Args": "value"}

    def __init__(self, config: Config) -> None:
        args = config.get("Args")
        self._items = [
            (group, number, item)
            for group, items in (
                ("Env", config.get("Env", [])),
                ("Mounts", config.get("Mounts", [])),
                ("Devices", config.get("Linux", {}).get("Devices", [])),
                ("Args", [args] if args else []),
            )
            for number, item in enumerate(items)
        ]

    def set(self, text: str) -> tuple[str, int] | None:
        """Return the group and number of the item that KEY=VALUE changes; None if the engine refuses it."""
        key, equals, _ = text.partition("=")
        if equals and not key:
            return None
        name, field = key, ""
        at = key.rfind(".")
        if at > 0:
            name, field = key[:at], key[at + 1 :]
        for group, number, item in self._items:
            if item["Name"] != name:
                continue
            settable = item["Settable"]
            if not field and len(settable) > 1:
                return None
            wanted = field or (settable[0] if settable else "")
            if wanted != self.FIELDS[group] or wanted not in settable:
                return None
            if group in {"Mounts", "Devices"} and item.get("Source", item.get("Path")) is None:
                return None
            return group, number
        return None


NAMES = st.text(alphabet="aA.=/ ", max_size=4)
WORDS = st.lists(st.sampled_from(["value", "source", "path", "Value", "ip", ""]), max_size=2)
VALUES = st.sampled_from([None, "", "/x"])
ITEMS = st.fixed_dictionaries({"Name": NAMES, "Settable": WORDS})


@st.composite
def configs(draw: st.DrawFn) -> Config:
    def items(key: str) -> list[Config]:
        return [item | {key: draw(VALUES)} for item in draw(st.lists(ITEMS, max_size=3))]

    return {
        "Env": items("Value"),
        "Mounts": items("Source"),
        "Linux": {"Devices": items("Path")},
        "Args": draw(ITEMS) | {"Value": ["a"]},
    }


@given(configs())
def test_a_listed_key_is_accepted_and_no_other_item_can_be_set(config: Config) -> None:
    engine = Engine(config)
    groups = {"env": "Env", "mount": "Mounts", "device": "Devices", "args": "Args"}
    members = [*config["Env"], *config["Mounts"], *config["Linux"]["Devices"], config["Args"]]
    listed = {engine.set(f"{setting.key}=1"): groups[setting.kind] for setting in list_settings(parse(config))}
    assert None not in listed
    assert all(changed is not None and changed[0] == group for changed, group in listed.items())

    words = {word for item in members for word in item["Settable"]} | {"value", "source", "path"}
    names = {item["Name"] for item in members}
    candidates = names | {f"{name}.{word}" for name in names for word in words}
    changed = {engine.set(f"{key}=1") for key in candidates} - {None}
    assert changed == listed.keys()
