"""Findings about mounts and devices of a config. tests/e2e/test_config_shapes.py compares them with an engine."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.plugin.lint.mount_checks import check_mounts
from tests.support.rootfs import config


def mount(**members: Any) -> dict[str, Any]:
    whole = {"Name": "m", "Source": "/tmp", "Destination": "/m", "Type": "bind", "Options": ["rbind"]}
    return {"Mounts": [whole | members]}


def unbound(kind: str, source: str = "/tmp", *options: str, **members: Any) -> dict[str, Any]:
    return mount(Type=kind, Source=source, Options=options, **members)


def device(path: str | None, *settable: str) -> dict[str, Any]:
    return {"Linux": {"Devices": [{"Name": "d", "Path": path, "Settable": settable}]}}


def told(members: dict[str, Any]) -> list[tuple[str, str]]:
    return [(finding.severity.value, finding.code) for finding in check_mounts(config(**members))]


def without_reach(members: dict[str, Any]) -> list[tuple[str, str]]:
    return [one for one in told(members) if one != ("warning", "mount-reach")]


@pytest.mark.parametrize(
    "members",
    [
        {},
        mount(),
        mount(Type="", Options=["bind", "ro"]),
        mount(Type="none"),
        mount(Type="nonsense"),
        mount(Source="/var/run/"),
        mount(Destination="/m/./x"),
        mount(Source="/proc", Destination="/proc"),
        mount(Source="/proc", Destination="/host/proc"),
        mount(Source="/etc/hosts", Destination="/proc/cpuinfo"),
        mount(Source="/dev", Destination="/dev"),
        mount(Source="/dev/shm", Destination="/dev/shm"),
        mount(Source="/", Destination="/"),
        mount(Source="/sys/fs/cgroup", Destination="/sys/fs/cgroup"),
        unbound("debugfs", "debugfs", Destination="/sys/kernel/debug"),
        mount(Destination="/sys"),
        {"Mounts": mount(Destination="/sys")["Mounts"] + mount(Destination="/sys/x")["Mounts"]},
        unbound("tmpfs", "tmpfs"),
        unbound("tmpfs", ""),
        unbound("proc"),
        unbound("proc", "proc", Destination="/proc"),
        unbound("tmpfs", "tmpfs", Destination="/dev"),
        unbound("sysfs"),
        unbound("cgroup2"),
        unbound("ext4", "/dev/sdb"),
        unbound("ext4", "/srv/disk", Settable=["source"]),
        unbound("ext4", "disk"),
        unbound("zfs", "/pool"),
        unbound("overlay", "overlay", "lowerdir=/tmp"),
        unbound("overlay", "overlay", "ro,lowerdir=/tmp"),
        unbound("virtiofs", "share"),
        unbound("fuse.sshfs", "host:"),
        {"PropagatedMount": "/volumes"},
        {"PropagatedMount": "/volumes/"},
        {"PropagatedMount": "/sys/fs"},
        device("/dev/null"),
    ],
)
def test_what_engines_mount_is_not_reported(members: dict[str, Any]) -> None:
    assert without_reach(members) == []


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (mount(Source=None), "mount-source-missing"),
        (mount(Source=None, Settable=["source"]), "mount-source-missing"),
        (mount(Source=None, Destination="/dev/mapper"), "mount-source-missing"),
        (mount(Source="tmp"), "mount-source-relative"),
        (mount(Options=[]), "mount-unbound"),
        (mount(Options=["RBIND"]), "mount-unbound"),
        (unbound("", "/tmp", "ro"), "mount-unbound"),
        (unbound("none"), "mount-unbound"),
        (unbound("BIND"), "mount-unbound"),
        (unbound("volume", "data"), "mount-unbound"),
        (unbound("TMPFS"), "mount-type"),
        (unbound("ext4"), "mount-type"),
        (unbound("xfs", "/srv/data"), "mount-type"),
        (unbound("overlay"), "mount-type"),
        (mount(Destination=""), "mount-destination-empty"),
        (mount(Destination="/"), "mount-destination-root"),
        (mount(Destination="/m/.."), "mount-destination-root"),
        (unbound("tmpfs", "tmpfs", Destination="/."), "mount-destination-root"),
        (mount(Destination="/proc"), "mount-in-proc"),
        (mount(Source="/proc/sys", Destination="/proc/sys"), "mount-in-proc"),
        (mount(Destination="/dev"), "mount-over-dev"),
        (mount(Source="/", Destination="/dev"), "mount-over-dev"),
        (mount(Source="/sys", Destination="/proc"), "mount-in-proc"),
        (unbound("tmpfs", "tmpfs", Destination="/proc"), "mount-in-proc"),
        ({"PropagatedMount": "/"}, "propagated-mount-root"),
        ({"PropagatedMount": "/dev"}, "mount-over-dev"),
        ({"PropagatedMount": "/proc/x"}, "mount-in-proc"),
        (device(None), "device-path-missing"),
        (device(None, "path"), "device-path-missing"),
        (device(""), "device-path-empty"),
        (device("/etc/hosts"), "device-not-a-node"),
    ],
)
def test_what_surely_fails_is_an_error(members: dict[str, Any], code: str) -> None:
    assert without_reach(members) == [("error", code)]


@pytest.mark.parametrize(
    ("members", "severity", "code"),
    [
        (mount(Source=""), "warning", "mount-source-empty"),
        (mount(Source="", Settable=["source"]), "warning", "mount-source-empty"),
        (device("", "path"), "warning", "device-path-empty"),
        (unbound("nonsense"), "warning", "mount-type"),
        (mount(Destination="/dev/mapper"), "warning", "mount-dropped"),
        (mount(Destination="/sys/x"), "warning", "mount-in-sys"),
        (mount(Destination="/dev/"), "warning", "mount-dropped"),
        (mount(Source="/srv/absent", Destination="/dev/mapper"), "warning", "mount-dropped"),
        (unbound("none", Destination="/dev/mapper"), "warning", "mount-dropped"),
        ({"PropagatedMount": "/sys/x"}, "warning", "mount-in-sys"),
        ({"PropagatedMount": "volumes"}, "warning", "propagated-mount-spelling"),
        ({"PropagatedMount": "/./volumes"}, "warning", "propagated-mount-spelling"),
        (mount(Destination="m"), "hint", "mount-destination-relative"),
        (mount(Destination="/run/docker/plugins/"), "hint", "plugins-folder-hidden"),
        (mount(Destination="/run/docker/plugins/x"), "hint", "plugins-folder-hidden"),
        ({"Mounts": mount()["Mounts"] + mount(Source="/var", Destination="/m/.")["Mounts"]}, "hint", "mount-twice"),
        (mount(Source="/etc/openvswitch"), "hint", "host-paths"),
        (mount(Source="/lib/modules"), "hint", "host-paths"),
        (mount(Source="/var/run/docker.sock"), "hint", "host-paths"),
        (device("/dev/fuse"), "hint", "host-paths"),
    ],
)
def test_what_may_fail_is_no_error(members: dict[str, Any], severity: str, code: str) -> None:
    assert without_reach(members) == [(severity, code)]


@pytest.mark.parametrize(
    ("members", "fix"),
    [
        (mount(Source=None, Settable=["source"]), '"Source": ""'),
        (mount(Source="", Settable=["source"]), "install it with m=..."),
        (mount(Name="a.b", Source="", Settable=["source"]), "install it with a.b.source=..."),
        (device(None, "path"), '"Path": ""'),
        (device("", "path", "mode"), "install it with d.path=..."),
        (mount(Source="/etc/acme"), "run on the host first: 'mkdir -p /etc/acme'"),
    ],
)
def test_the_fix_names_the_key_or_the_command(members: dict[str, Any], fix: str) -> None:
    (finding,) = check_mounts(config(**members))
    assert fix in finding.fix
