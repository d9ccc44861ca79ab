"""Findings that need a plugin's config only. The engines' messages are verified in tests/e2e/test_lint.py."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.plugin.lint.config_checks import check_config, covering_mount
from tests.support.rootfs import config

TYPE = "docker.volumedriver/1.0"


def codes(**members: Any) -> list[str]:
    return [finding.code for finding in check_config(config(**members))]


def interface(**members: Any) -> dict[str, Any]:
    return {"Interface": {"Types": [TYPE], "Socket": "a.sock"} | members}


def mount(**members: Any) -> dict[str, Any]:
    whole = {"Name": "m", "Source": "/tmp", "Destination": "/m", "Type": "bind", "Options": ["rbind"]}
    return {"Mounts": [whole | members]}


def linux(**members: Any) -> dict[str, Any]:
    return {"Linux": members}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, []),
        ({"Entrypoint": []}, ["entrypoint-empty"]),
        ({"Entrypoint": None, "Args": {"Value": ["/bin/driver"]}}, []),
        ({"WorkDir": "run"}, ["work-dir-relative"]),
        ({"WorkDir": "/run"}, []),
        (interface(Socket=""), ["socket-empty"]),
        (interface(Socket="a" * 22), []),
        (interface(Socket="a" * 23), ["socket-long"]),
        (interface(Socket="ä" * 11 + "a"), ["socket-long"]),
        (interface(Socket="/run/docker/plugins/a.sock"), ["socket-long"]),
        (interface(ProtocolScheme="moby.plugins.http/v1"), []),
        (interface(ProtocolScheme="other/v1", Socket=""), ["protocol-scheme"]),
        (interface(Types=None), ["types-missing"]),
        (interface(Types=["docker.volumedriver"]), ["type-mangled"]),
        (interface(Types=["volumedriver/1.0"]), ["type-mangled"]),
        (interface(Types=["docker.volumedriver/"]), ["type-mangled"]),
        (interface(Types=["docker.volumeDriver/1.0", TYPE]), ["type-unknown"]),
        (interface(Types=["docker.volumedriver/2.0"]), ["type-unknown"]),
        (interface(Types=["docker.networkdriver/1.0", "docker.csinode/1.0"]), []),
        (mount(), []),
        (mount(Source=None), ["mount-source-missing"]),
        (mount(Options=[]), ["mount-unbound"]),
        (mount(Options=["ro"], Type=""), ["mount-unbound"]),
        (mount(Options=["bind", "ro"], Type=""), []),
        (mount(Source="tmpfs", Type="tmpfs", Options=[]), []),
        (mount(Source="tmp"), ["mount-source-relative"]),
        (mount(Destination=""), ["mount-destination-empty"]),
        (mount(Destination="/run/docker/plugins/"), ["plugins-folder-hidden"]),
        (mount(Source="/etc/openvswitch"), ["host-paths"]),
        (mount(Source="/var/run/"), []),
        (linux(Devices=[{"Name": "d", "Path": None}]), ["device-path-missing"]),
        (linux(Devices=[{"Name": "d", "Path": "/dev/fuse"}]), ["host-paths"]),
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


@pytest.mark.parametrize(
    ("settable", "severity", "fix"),
    [([], "error", "Settable"), (["source"], "warning", "m=..."), (["source", "type"], "warning", "m.source=...")],
)
def test_what_a_host_can_set_is_no_error(settable: list[str], severity: str, fix: str) -> None:
    (finding,) = check_config(config(**mount(Source=None, Settable=settable)))
    assert finding.severity.value == severity
    assert fix in finding.fix
    assert "mount source is not specified" in finding.seen


@pytest.mark.parametrize(
    ("destination", "path", "covered"),
    [
        ("/opt", "/opt/driver", True),
        ("opt/", "/opt", True),
        ("/", "/x", True),
        ("/opt", "/optional", False),
        ("", "/x", False),
    ],
)
def test_mounts_cover_what_lies_below(destination: str, path: str, covered: bool) -> None:
    assert (covering_mount(config(**mount(Destination=destination)), path) is not None) is covered


def test_what_a_config_holds_is_shown_without_what_a_terminal_obeys() -> None:
    for finding in check_config(config(WorkDir="\x1b[2J" + "x" * 1000, **linux(Capabilities=["\x1b[31mA"]))):
        assert "\x1b" not in finding.text + finding.fix + finding.seen
        assert len(finding.text) < 250
