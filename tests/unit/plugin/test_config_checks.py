"""Findings that need a plugin's config only. The engines' messages are verified in tests/e2e/test_lint.py."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.plugin.lint.config_checks import check_config
from tests.support.rootfs import config


def codes(**members: Any) -> list[str]:
    return [finding.code for finding in check_config(config(**members))]


def linux(**members: Any) -> dict[str, Any]:
    return {"Linux": members}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, []),
        ({"Entrypoint": []}, ["entrypoint-empty"]),
        ({"Entrypoint": None, "Args": {"Value": ["/bin/driver"]}}, []),
        ({"Entrypoint": ["", "x"]}, ["entrypoint-empty"]),
        ({"Entrypoint": None, "Args": {"Value": ["", "x"]}}, ["entrypoint-empty"]),
        ({"WorkDir": "run"}, ["work-dir-relative"]),
        ({"WorkDir": "/run"}, []),
        (linux(Capabilities=["CAP_SYS_ADMIN", "CAP_BPF"]), []),
        (linux(Capabilities=["SYS_ADMIN", "cap_bpf"]), ["capability-unknown"] * 2),
        ({"Network": {"Type": "host"}}, []),
        ({"Network": {"Type": "none"}}, []),
        ({"Network": {"Type": "bridge"}}, ["network-type"]),
        ({"PidHost": True}, ["namespaces-dropped"]),
        ({"User": {"UID": 1000}}, ["user-ignored"]),
        ({"User": {"UID": 0, "GID": None}}, []),
    ],
)
def test_what_is_found(members: dict[str, Any], expected: list[str]) -> None:
    assert codes(**members) == expected


def test_what_a_config_holds_is_shown_without_what_a_terminal_obeys() -> None:
    for finding in check_config(config(WorkDir="\x1b[2J" + "x" * 1000, **linux(Capabilities=["\x1b[31mA"]))):
        assert "\x1b" not in finding.text + finding.fix + finding.seen
        assert len(finding.text) < 250
