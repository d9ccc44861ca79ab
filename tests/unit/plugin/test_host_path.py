"""Resolution of host paths as the kernel does it, as far as the host is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.host_path import is_within, resolve, resolve_device, tidy

NAMES = ["etc", "..", ".", "", "run", "var", "lib", "proc", "1", "self", "root", "cwd", "task", "dev", "fd", "x"]


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("/./data//x/", "/data/x"),
        ("/etc/../data", "/data"),
        ("/usr/../../..", "/"),
        ("/var/lib/../run/docker.sock", "/run/docker.sock"),
        ("/var/run", "/run"),
        ("/var/runs", "/var/runs"),
        ("/lib/modules", "/usr/lib/modules"),
        ("/bin", "/usr/bin"),
        ("/library", "/library"),
        ("/proc/1/root", "/"),
        ("/proc/self/root/etc", "/etc"),
        ("/proc/thread-self/root", "/"),
        ("/proc/1/task/1/root/proc/self/root/var/run", "/run"),
        ("/proc/1/roots", "/proc/1/roots"),
        ("/proc/cpuinfo", "/proc/cpuinfo"),
        ("/dev/sda", "/dev/sda"),
        ("/dev/disk", "/dev/disk"),
        ("/dev/mapper/control", "/dev/mapper/control"),
    ],
)
def test_where_a_path_leads(path: str, leads_to: str) -> None:
    assert resolve(path).leads_to == leads_to


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "relative"),
        ("data", "relative"),
        ("../data", "relative"),
        ("/x\0y", "a zero byte"),
        ("/" + "a/" * 2048, "longer than 4095 bytes"),
        ("/srv/../etc", "/srv may be a link"),
        ("/var/run/../etc", "/run may be a link"),
        ("/lib/..", "/usr/lib may be a link"),
        ("/proc/1/cwd", "/proc/1/cwd leads to a file or folder that a process has open"),
        ("/proc/self/cwd/../..", "leads to a file or folder that a process has open"),
        ("/proc/4711/root/etc", "leads to a file or folder that a process has open"),
        ("/proc/self/fd/3", "leads to a file or folder that a process has open"),
        ("/proc/1/task/7/fd/3", "leads to a file or folder that a process has open"),
        ("/proc/self/map_files/1-2", "leads to a file or folder that a process has open"),
        ("/proc/1/exe", "leads to a file or folder that a process has open"),
        ("/dev/fd/3", "leads to a file or folder that a process has open"),
        ("/dev/stdin", "leads to a file or folder that a process has open"),
        ("/dev/root", "each host decides"),
        ("/dev/block/8:0", "each host decides"),
        ("/dev/char/1:1", "each host decides"),
        ("/dev/disk/by-uuid/x", "each host decides"),
        ("/dev/mapper/vg-root", "each host decides"),
        ("/dev/input/by-id/x", "each host decides"),
    ],
)
def test_what_cannot_be_resolved_says_why(path: str, why: str) -> None:
    found = resolve(path)
    assert found.leads_to is None
    assert why in found.why


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/dev/fuse", "/dev/fuse"),
        ("/dev/net/tun", "/dev/net/tun"),
        ("/dev", "/dev"),
        ("/", "/"),
        ("/dev/vg0/root", None),
        ("/dev/cdrom", None),
        ("/dev/disk/by-id/x", None),
        ("/srv/node", None),
        ("/proc/1/root/dev/sda", "/dev/sda"),
        ("node", None),
    ],
)
def test_which_device_a_path_is(path: str, leads_to: str | None) -> None:
    assert resolve_device(path).leads_to == leads_to


@given(st.lists(st.sampled_from(NAMES), max_size=12))
def test_what_is_resolved_has_no_detours_and_leads_there_again(names: list[str]) -> None:
    found = resolve("/" + "/".join(names)).leads_to
    if found is not None:
        assert found == tidy(found)
        assert ".." not in found.split("/")
        assert resolve(found).leads_to == found


@given(st.text(max_size=40))
def test_any_text_is_resolved_or_says_why(text: str) -> None:
    for found in (resolve(text), resolve("/" + text), resolve_device(text)):
        assert (found.leads_to is None) == bool(found.why)


def test_within() -> None:
    assert is_within("/a/b", "/a")
    assert is_within("/a", "/")
    assert not is_within("/ab", "/a")
    assert not is_within("a/b", "a")
