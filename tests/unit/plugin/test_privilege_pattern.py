from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ConfigurationFault
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import compute_privileges
from mirror.plugin.policy.privilege_pattern import (
    NAMES,
    PrivilegePattern,
    added_privileges,
    describe_privilege,
    requested_privileges,
)


def config(**members: Any) -> PluginConfig:
    return PluginConfig.parse(json.dumps(members).encode())


def mounting(source: str | None, *options: str, kind: str = "bind") -> PluginConfig:
    return config(Mounts=[{"Source": source, "Destination": "/host", "Type": kind, "Options": list(options)}])


def matches(pattern: str, plugin: PluginConfig) -> bool:
    return any(PrivilegePattern.parse(pattern).matching(plugin))


@pytest.mark.parametrize(
    ("pattern", "plugin", "expected"),
    [
        ("network", config(Network={"Type": "host"}), True),
        ("network=host", config(Network={"Type": "host"}), True),
        ("network=host", config(Network={"Type": "none"}), False),
        ("network", config(Network={"Type": "bridge"}), False),
        ("host pid namespace", config(PidHost=True), True),
        ("host ipc namespace", config(PidHost=True), False),
        ("host ipc namespace", config(IpcHost=True), True),
        ("allow-all-devices", config(Linux={"AllowAllDevices": True}), True),
        ("allow-all-devices", config(), False),
        ("capabilities", config(Linux={"Capabilities": ["CAP_NET_ADMIN"]}), True),
        ("capabilities=CAP_SYS_ADMIN", config(Linux={"Capabilities": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]}), True),
        ("capabilities=sys_admin", config(Linux={"Capabilities": ["CAP_SYS_ADMIN"]}), True),
        ("capabilities=CAP_SYS_*", config(Linux={"Capabilities": ["cap_sys_module"]}), True),
        ("capabilities=CAP_SYS_*", config(Linux={"Capabilities": ["CAP_NET_ADMIN"]}), False),
        ("device=/dev/fuse", config(Linux={"Devices": [{"Path": "/dev/fuse"}]}), True),
        ("device=/dev/fuse", config(Linux={"Devices": [{"Path": "/dev"}]}), True),
        ("device=/dev/fuse", config(Linux={"Devices": [{"Path": None}]}), False),
        ("device=/dev/sd*", config(Linux={"Devices": [{"Path": "/dev/fuse"}]}), False),
        ("mount", mounting("/etc"), True),
        ("mount", mounting(""), True),
        ("mount", mounting(None), False),
        ("device", mounting("/etc"), False),
    ],
)
def test_what_is_asked_for(pattern: str, plugin: PluginConfig, expected: bool) -> None:
    assert matches(pattern, plugin) is expected


@pytest.mark.parametrize(
    "source",
    [
        "/run/docker.sock",
        "/var/run/docker.sock",
        "//var//run/./docker.sock",
        "/etc/../run/docker.sock",
        "/run",
        "/run/",
        "/var/run",
        "/",
        "//",
        "///",
        "/..",
        "/proc/1/root",
        "/proc/self/root/run",
        "/proc/1/task/1/root/proc/2/cwd/run/docker.sock",
        "../../../../run/docker.sock",
        "a/../../..",
    ],
)
@pytest.mark.parametrize("pattern", ["mount=/run/docker.sock", "mount=/var/run/docker.sock", "mount=/run/*"])
def test_the_engines_socket_is_given_away_in_many_ways(pattern: str, source: str) -> None:
    assert matches(pattern, mounting(source))


@pytest.mark.parametrize("source", ["/run2", "/etc", "/runs/docker.sock", "run", "", "/proc/1/roots", "/var"])
def test_other_mounts_do_not_give_it_away(source: str) -> None:
    assert not matches("mount=/run/docker.sock", mounting(source))


@pytest.mark.parametrize(
    ("pattern", "source", "expected"),
    [
        ("mount=/", "/", True),
        ("mount=/", "/etc", False),
        ("mount=/etc/*", "/etc/passwd", True),
        ("mount=/etc/*", "/etc", True),
        ("mount=/etc/*", "/", True),
        ("mount=/etc/*", "/var", False),
        ("mount=/dev/sd?", "/dev/sda", True),
        ("mount=*", "anything", True),
        ("mount=*sock", "/a/b.sock", True),
        ("mount=*sock", "/", True),
        ("mount=*sock", "/run", False),
        ("mount=tmpfs", "/", False),
        ("mount=**/docker.sock", "/", True),
        ("mount=/home/*/.ssh", "/home/alice/.ssh", True),
        ("mount=/home/*/.ssh", "/home/alice", True),
        ("mount=/home/*/.ssh", "/home", True),
        ("mount=/home/*/.ssh", "/home/alice/data", False),
        ("mount=/home/a*/.ssh", "/home/bob", False),
        ("mount=/var/*/docker.sock", "/var/run", True),
        ("mount=/*/docker.sock", "/run", True),
        ("mount=/srv/[ab]/x/y", "/srv/a/x", True),
        ("mount=/srv/[ab]/x/y", "/srv/c/x", False),
        ("mount=/srv/a", "/srv/a/b", False),
    ],
)
def test_globs_of_paths(pattern: str, source: str, expected: bool) -> None:
    assert matches(pattern, mounting(source)) is expected


def test_folders_of_an_overlay_count() -> None:
    overlay = mounting("overlay", "lowerdir=/tmp:/", "upperdir=/tmp/u", "rw", "size=1", kind="overlay")
    assert list(PrivilegePattern.parse("mount=/").matching(overlay)) == [
        "mount: / (lowerdir of an overlay mount at /host)"
    ]
    assert requested_privileges(overlay) == (
        ("mount", "overlay"),
        ("mount, lowerdir of an overlay mount", "/tmp"),
        ("mount, lowerdir of an overlay mount", "/"),
        ("mount, upperdir of an overlay mount", "/tmp/u"),
    )


@pytest.mark.parametrize(
    ("pattern", "plugin", "said"),
    [
        ("mount=/", mounting("/dev/sda1", kind="ext4"), "the host's data on that device is unknown"),
        ("mount=/dev/sda1", mounting("/dev/sda1", kind="ext4"), "/dev/sda1 (mounted as ext4 at /host"),
        ("device=/dev/sd*", mounting("/dev/sda1", kind="ext4"), "device: /dev/sda1 (mounted as ext4 at /host)"),
        ("device", mounting("x", kind="new"), "device: every device (mounted as new at /host"),
        ("mount=/srv", mounting("x", kind="new"), "this type of file system is unknown"),
        ("mount=/sys/kernel/*", mounting("x", kind="sysfs"), "mount: /sys (mounted as sysfs at /host)"),
        ("mount=/", mounting("/proc", "rbind"), "mount: / (by way of the processes in /proc at /host)"),
        ("mount=/srv", mounting("/tmp/../x", "bind"), "mount: /tmp/../x (cannot be resolved: /tmp may be a link"),
        ("mount", mounting("tmpfs", kind="tmpfs"), "mount: tmpfs"),
        ("mount=*", mounting("/", kind="tmpfs"), "mount: / (only a label)"),
        ("mount=tmp*", mounting("tmpfs", kind="tmpfs"), "mount: tmpfs"),
        ("mount=/lib/*", mounting("/usr/lib/modules", "bind"), "mount: /usr/lib/modules"),
        ("mount=/usr/lib", mounting("/lib", "bind"), "mount: /lib"),
        ("mount=/var/*/docker.sock", mounting("/var/run/docker.sock", "bind"), "mount: /var/run/docker.sock"),
        ("mount=/srv", config(PidHost=True, Linux={"Capabilities": ["cap_sys_ptrace"]}), "mount: / (by way of the pro"),
        ("device=/dev/nvme*", config(Linux={"Devices": [{"Path": "/dev/block/259:0"}]}), "each host decides"),
    ],
)
def test_what_is_reached_is_said_in_words(pattern: str, plugin: PluginConfig, said: str) -> None:
    (words,) = PrivilegePattern.parse(pattern).matching(plugin)
    assert said in words


@pytest.mark.parametrize(
    ("pattern", "plugin"),
    [
        ("mount=/", mounting("/", kind="tmpfs")),
        ("mount=/", mounting("/data", "bind", "x=/")),
        ("mount=/run/docker.sock", mounting("/data", "rbind")),
        ("mount=/", mounting("x", "lowerdir=/usr:/opt", kind="overlay")),
        ("device", mounting("/dev/sda", "bind")),
        ("mount=/", config(PidHost=True)),
        ("mount=/", config(Linux={"Capabilities": ["CAP_SYS_PTRACE"]})),
        ("device=/dev/sd*", mounting("/dev/vda", kind="ext4")),
        ("mount=/srv", mounting("x", kind="sysfs")),
    ],
)
def test_what_is_not_reached(pattern: str, plugin: PluginConfig) -> None:
    assert not matches(pattern, plugin)


BOUND, OPTION = ("mount", "/data"), ("mount option", "/data")


@pytest.mark.parametrize(
    ("before", "now", "more"),
    [
        ((BOUND,), mounting("/data", "bind"), []),
        ((BOUND,), mounting("/data", "rbind", "remount"), ["mount: every path (with the option remount)"]),
        ((BOUND,), mounting("/proc", "bind"), ["mount: /proc"]),
        ((("mount", "/proc"),), mounting("/proc", "bind"), []),
        ((("mount", "tmpfs"),), mounting("tmpfs", kind="tmpfs"), []),
        ((BOUND,), mounting("/data", kind="tmpfs"), []),
        (
            (BOUND,),
            mounting("/data", kind="ext4"),
            ["device: /data (mounted as ext4)", "mount: /data (mounted as ext4)"],
        ),
        ((("mount", "x"), OPTION), mounting("x", "lowerdir=/data", kind="overlay"), []),
        (
            (("mount", "x"), OPTION),
            mounting("x", "lowerdir=/data:/", kind="overlay"),
            ["mount: / (lowerdir of an overlay mount)"],
        ),
        ((("mount", "x"),), mounting("x", "lowerdir=/", kind="overlay"), ["mount: / (lowerdir of an overlay mount)"]),
        (requested_privileges(mounting("/data", kind="tmpfs")), mounting("/data", "bind"), ["mount: /data"]),
        (
            requested_privileges(mounting("x", "lowerdir=/data", kind="overlay")),
            mounting("x", "upperdir=/data", kind="overlay"),
            ["mount: /data (upperdir of an overlay mount)"],
        ),
        ((("mount", "/ (lowerdir of an overlay mount)"),), mounting("/", "bind"), ["mount: /"]),
    ],
)
def test_growth_by_what_this_release_or_an_earlier_one_noted(
    before: tuple[tuple[str, str], ...], now: PluginConfig, more: list[str]
) -> None:
    assert list(map(describe_privilege, added_privileges(requested_privileges(now), before))) == more


@pytest.mark.parametrize("text", ["", "mounts", "mount=", "=/", "Network", "pid", "mount:/"])
def test_what_is_no_privilege(text: str) -> None:
    with pytest.raises(ConfigurationFault, match="is not a privilege"):
        PrivilegePattern.parse(text)


@given(st.sampled_from(NAMES), st.text(min_size=1).filter(lambda text: text.strip()))
def test_any_glob_is_read(name: str, glob: str) -> None:
    assert PrivilegePattern.parse(f"{name}={glob}").name == name


@given(st.lists(st.sampled_from(["etc", "..", ".", "", "run", "docker.sock", "var", "proc", "1", "root"])))
def test_detours_change_nothing(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert matches("mount=/run/docker.sock", mounting(path)) == matches(
        "mount=/run/docker.sock", mounting(f"/etc/..//.{path}")
    )


@given(st.lists(st.text()), st.lists(st.text()))
def test_a_name_alone_matches_whatever_the_engine_asks(sources: list[str], capabilities: list[str]) -> None:
    plugin = config(Mounts=[{"Source": source} for source in sources], Linux={"Capabilities": capabilities})
    for name in NAMES:
        assert matches(name, plugin) == any(privilege.name == name for privilege in compute_privileges(plugin))


@pytest.mark.parametrize(
    ("earlier", "later", "more"),
    [
        (mounting("/etc", "bind", "ro"), mounting("/etc", "bind"), ["mount: /etc"]),
        (mounting("/etc", "bind", "ro"), mounting("/etc", "bind", "ro", "rw"), ["mount: /etc"]),
        (mounting("/etc", "bind", "rw"), mounting("/etc", "bind", "ro"), []),
        (mounting("/etc", "bind", "ro"), mounting("/etc", "rbind", "ro"), []),
        (
            mounting("/dev/sda", "ro", kind="ext4"),
            mounting("/dev/sda", kind="ext4"),
            ["device: /dev/sda (mounted as ext4)", "mount: /dev/sda (mounted as ext4)"],
        ),
        (mounting("/dev/sda", kind="ext4"), mounting("/dev/sda", "ro", kind="ext4"), []),
        (mounting("../../etc", kind="tmpfs"), mounting("../../etc", "bind"), ["mount: ../../etc (bound)"]),
        (mounting("etc", "bind", "ro"), mounting("etc", "bind"), ["mount: etc (bound)"]),
        (mounting("sysfs", "ro", kind="sysfs"), mounting("sysfs", kind="sysfs"), ["mount: /sys (mounted as sysfs)"]),
    ],
)
def test_to_write_is_more_than_to_read_and_a_path_more_than_a_label(
    earlier: PluginConfig, later: PluginConfig, more: list[str]
) -> None:
    before, now = [requested_privileges(each, reading_apart=True) for each in (earlier, later)]
    assert list(map(describe_privilege, added_privileges(now, before))) == more
    assert added_privileges(before, before) == added_privileges(now, now) == ()
