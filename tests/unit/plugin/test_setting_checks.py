"""Findings about settings, variables and zero bytes. tests/e2e/test_config_shapes.py compares them with an engine."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.plugin.lint.setting_checks import check_settings
from tests.support.rootfs import config

VALUE = ["value"]


def env(*items: tuple[str, list[str] | None, str | None]) -> dict[str, Any]:
    return {"Env": [{"Name": name, "Settable": settable, "Value": value} for name, settable, value in items]}


def told(members: dict[str, Any]) -> list[tuple[str, str]]:
    return [(finding.severity.value, finding.code) for finding in check_settings(config(**members))]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, []),
        (env(("A", VALUE, "1"), ("a", VALUE, "1"), ("log.level", VALUE, None), ("a b", VALUE, "")), []),
        (env(("A", None, "1"), ("A", None, "2")), [("warning", "env-twice")]),
        (env(("A", None, "1"), ("A", None, None)), []),
        (env(("A", ["Value"], "1")), [("warning", "settable-ignored")]),
        (env(("A", ["ip"], "1")), [("warning", "settable-ignored")]),
        (env(("A", ["value", "ip"], "1")), [("warning", "settable-ignored")]),
        (env(("A=B", VALUE, "1")), [("warning", "setting-unreachable"), ("warning", "env-name")]),
        (env(("A=B", None, "1")), [("warning", "env-name")]),
        (env(("", VALUE, None)), [("warning", "setting-unreachable")]),
        (env(("", None, "1")), [("error", "env-nameless")]),
        (env(("", None, "")), [("error", "env-nameless")]),
        (env(("=A", None, "1")), [("error", "env-nameless")]),
        (env(("", None, None)), []),
        (env(("A", None, "1"), ("A", VALUE, None)), [("warning", "setting-unreachable")]),
        (env(("A", VALUE, "1"), ("A", None, "2")), [("warning", "env-twice")]),
        (
            env(("A", None, "1")) | {"Mounts": [{"Name": "A", "Source": "/tmp", "Settable": ["source"]}]},
            [("warning", "setting-unreachable")],
        ),
        (env(("A", None, "1")) | {"Args": {"Name": "A", "Settable": VALUE}}, [("warning", "setting-unreachable")]),
        ({"Args": {"Settable": VALUE}}, [("warning", "setting-unreachable")]),
        (env(("A", None, "1\0")), [("error", "zero-byte")]),
        (env(("A", None, "\0"), ("B", None, "\0")), [("error", "zero-byte")]),
        (env(("A\0", None, None)), []),
        ({"Entrypoint": ["/a", "\0"], "WorkDir": "/\0"}, [("error", "zero-byte")] * 2),
        ({"Args": {"Value": ["\0"]}}, [("error", "zero-byte")]),
        ({"Mounts": [{"Source": "/tmp", "Destination": "/m\0"}]}, [("error", "zero-byte")]),
        ({"Linux": {"Devices": [{"Path": "/dev/\0"}]}}, [("error", "zero-byte")]),
    ],
)
def test_what_is_found(members: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert told(members) == expected
