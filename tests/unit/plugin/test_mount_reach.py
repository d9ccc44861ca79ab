"""Host paths that mounts reach: under every spelling of a path, and none where nothing is reachable."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.mount_reach import DEVICE, MOUNT, Reach, is_read_only, mount_reaches
from mirror.plugin.config.plugin_config import Mount
from mirror.plugin.policy.privilege_pattern import PrivilegePattern
from tests.support.rootfs import config as config_with


def mount(source: str | None, kind: str, *options: str) -> Mount:
    return Mount("m", source=source, destination="/x", type=kind, options=options)


def reached(source: str | None, kind: str, *options: str, sees_processes: bool = False) -> list[tuple[str, str | None]]:
    return [
        (reach.kind, reach.leads_to)
        for reach in mount_reaches(mount(source, kind, *options), sees_processes=sees_processes)
    ]


def paths(*leads_to: str | None) -> list[tuple[str, str | None]]:
    return [(MOUNT, path) for path in leads_to]


@pytest.mark.parametrize(
    ("source", "kind", "options", "expected"),
    [
        ("/data", "bind", ["rbind"], paths("/data")),
        ("/data", "bind", [], paths("/data")),
        ("/data", "", [], paths("/data")),
        ("/data", "ext4", ["bind"], paths("/data")),
        ("/data", "tmpfs", ["ro", "rbind"], paths("/data")),
        ("/data", "tmpfs", ["ro,rbind"], paths("/data")),
        ("/data", "bind", ["bind", "lowerdir=/"], paths("/data")),
        (None, "bind", ["bind"], []),
        ("", "bind", ["bind"], paths("")),
        ("a/../b", "bind", ["bind"], paths("b")),
        ("a/../..", "bind", ["bind"], paths(None)),
        ("/data", "bind", ["bind", "remount"], paths(None)),
        ("tmpfs", "tmpfs", ["remount,rw"], paths(None)),
        ("/proc", "bind", ["bind"], paths("/proc", "/")),
        ("/proc/1", "bind", ["bind"], paths("/proc/1", "/")),
        ("/proc/1/ns/mnt", "bind", ["bind"], paths("/proc/1/ns/mnt", "/")),
        ("/proc/cpuinfo", "bind", ["bind"], paths("/proc/cpuinfo")),
        ("tmpfs", "tmpfs", ["size=1m"], []),
        ("/", "tmpfs", [], []),
        ("devpts", "devpts", ["newinstance"], []),
        ("devpts", "devpts", [], paths("/dev/pts")),
        ("proc", "proc", [], paths("/proc")),
        ("sysfs", "sysfs", [], paths("/sys")),
        ("x", "devtmpfs", [], paths("/dev")),
        ("x", "cgroup", [], paths("/sys/fs/cgroup")),
        ("x", "debugfs", [], paths("/sys/kernel/debug")),
        ("server:/", "nfs4", [], paths(None)),
        ("x", "fuse.sshfs", [], paths(None)),
        ("x", "9p", ["trans=virtio"], paths(None)),
        ("x", "Overlay", ["lowerdir=/data"], [*paths(None), (DEVICE, None)]),
        ("x", "overlay.x", ["lowerdir=/data"], [*paths(None), (DEVICE, None)]),
        ("/dev/sda1", "ext4", [], [(DEVICE, "/dev/sda1"), *paths(None)]),
        ("node", "ext4", [], [(DEVICE, None), *paths(None)]),
        (None, "ext4", [], [(DEVICE, None), *paths(None)]),
        ("/dev/sda", "xfs", ["logdev=/dev/sdb"], [(DEVICE, "/dev/sda"), *paths(None), (DEVICE, "/dev/sdb")]),
        ("/dev/sda", "ext4", ["journal_dev=0x810"], [(DEVICE, "/dev/sda"), *paths(None), (DEVICE, None)]),
    ],
)
def test_types(source: str | None, kind: str, options: list[str], expected: list[tuple[str, str | None]]) -> None:
    assert reached(source, kind, *options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["lowerdir=/:/dev/shm"], paths("/", "/dev/shm")),
        (["ro,lowerdir=/a:/b"], paths("/a", "/b")),
        (["lowerdir=/a::/b"], paths("/a", "/b")),
        (["lowerdir=:/a"], paths("/a")),
        (["lowerdir=/a", "lowerdir=/b"], paths("/a", "/b")),
        (["lowerdir=/a", "upperdir=/u", "workdir=/w"], paths("/a", "/u", "/w")),
        (["lowerdir+=/a", "datadir+=/b:c"], paths("/a", "/b:c")),
        (["LOWERDIR=/a"], paths("/a")),
        (["later=/a"], paths("/a")),
        ([r"lowerdir=/a\:b"], paths("/a:b")),
        ([r"lowerdir=/a\\b"], paths(r"/a\b")),
        ([r"upperdir=/\a"], paths(r"/\a", "/a")),
        ([r"lowerdir=/a\,b"], paths("/a,b", "/a")),
        (["lowerdir=a"], paths(None)),
        (["lowerdir=/proc/self/cwd/a"], paths(None)),
        (["redirect_dir=on", "index", "ro"], []),
        (["lowerdir=/a\\", "b"], paths(None, "/a")),
        (["lowerdir=/" + "./" * 2040, "x" * 40], paths(None)),
        (["x"] * 300, paths(None)),
    ],
)
def test_folders_of_an_overlay(options: list[str], expected: list[tuple[str, str | None]]) -> None:
    assert reached("overlay", "overlay", *options) == expected
    assert reached(None, "overlay", *options) == expected


def test_processes_of_the_host_lead_to_its_root() -> None:
    assert reached("proc", "proc", sees_processes=True) == paths("/proc", "/")


@pytest.mark.parametrize(
    ("options", "read_only"),
    [
        ([], False),
        (["ro"], True),
        (["ro", "rw"], False),
        (["rw", "ro"], True),
        (["ro", "rrw"], False),
        (["ro,x"], False),
        (["rro"], False),
    ],
)
def test_read_only(options: list[str], read_only: bool) -> None:
    assert is_read_only(mount("/a", "bind", *options)) is read_only
    assert [reach.writable for reach in mount_reaches(mount("/a", "bind", *options))] == [not read_only]


def test_only_the_upper_folders_of_an_overlay_are_written_to() -> None:
    options = ("lowerdir=/a", "upperdir=/b", "workdir=/c")
    assert [reach.writable for reach in mount_reaches(mount("x", "overlay", *options))] == [False, True, True]


def test_words_are_printable_and_bounded() -> None:
    evil = "\x1b[2J" + "x" * 4000
    for kind, options in ((evil, ()), ("overlay", (f"{evil[:900]}=/a",)), ("ext4", (f"dev{evil[:900]}=/a",))):
        for reach in mount_reaches(Mount("m", source="x", destination=evil, type=kind, options=options)):
            assert reach.how.isprintable()
            assert len(reach.how) < 500


NAME = st.text(st.sampled_from("abc,:\\= é"), min_size=1, max_size=6).filter(lambda name: name.strip() != "")
HOST_PATHS = st.lists(NAME, min_size=1, max_size=4).map(lambda names: "/data/" + "/".join(names))


@st.composite
def spelt(draw: st.DrawFn, path: str) -> str:
    """Generate spellings of a path with detours that lead to the same place."""
    names = path.split("/")[1:]
    parts = chain.from_iterable((draw(st.sampled_from(["/", "//", "/./", "/.//"])), name) for name in names)
    before = draw(st.sampled_from(["", "/proc/1/root", "/etc/..", "/proc/self/root", "/var/lib/../..", "/../.."]))
    return before + "".join(parts) + draw(st.sampled_from(["", "/", "/."]))


def escaped(path: str) -> str:
    return "".join(f"\\{sign}" if sign in ",:\\" else sign for sign in path)


@st.composite
def overlays(draw: st.DrawFn) -> tuple[str, tuple[str, ...]]:
    """Generate a host path and overlay options that contain the path, in one string or in several."""
    path = draw(HOST_PATHS)
    spelling = escaped(draw(spelt(path)))
    key = draw(st.sampled_from(["lowerdir", "upperdir", "workdir"]))
    if key == "lowerdir":
        before = draw(st.sampled_from(["", "/opt:", "/opt::", "/a\\:b:", ":"]))
        spelling = before + spelling + draw(st.sampled_from(["", ":/opt", "::/opt"]))
    others = draw(
        st.lists(st.sampled_from(["ro", "rw", "nosuid", "index=off", "userxattr", "lowerdir=/opt"]), max_size=3)
    )
    options = draw(st.permutations([*others, f"{key}={spelling}"]))
    return path, (",".join(options),) if draw(st.booleans()) else tuple(options)


def meets(rule: str, mounted: Mount) -> bool:
    members = {"Source": mounted.source, "Type": mounted.type, "Options": mounted.options, "Destination": "/x"}
    return any(PrivilegePattern("mount", rule).matching(config_with(Mounts=[members])))


@given(overlays())
def test_a_path_in_the_options_of_an_overlay_is_found_however_it_is_spelt(given: tuple[str, tuple[str, ...]]) -> None:
    path, options = given
    found = [reach.leads_to for reach in mount_reaches(mount("overlay", "overlay", *options))]
    assert path in found or None in found
    assert meets(path.replace("[", "[[]"), mount("overlay", "overlay", *options))


@given(st.data(), HOST_PATHS, st.sampled_from(["bind", "", "ext4", "overlay", "tmpfs"]))
def test_a_bind_mount_is_found_however_its_source_is_spelt(data: st.DataObject, path: str, kind: str) -> None:
    bound = mount(data.draw(spelt(path)), kind, data.draw(st.sampled_from(["bind", "rbind"])), "lowerdir=/")
    assert [reach.leads_to for reach in mount_reaches(bound)] == [path]
    assert meets(path, bound)
    assert not meets("/run/docker.sock", bound)
    assert not meets("/", bound)


@given(st.data(), st.sampled_from(["lowerdir", "upperdir"]))
def test_the_root_of_the_host_is_found_however_it_is_spelt(data: st.DataObject, key: str) -> None:
    root = data.draw(st.sampled_from(["/", "//", "/.", "/..", "/etc/..", "/proc/1/root", "/proc/self/root/./"]))
    rules = ["/", "/run/docker.sock", "/etc/*"]
    for mounted in (mount("x", "overlay", f"{key}={root}"), mount(root, "", "bind")):
        assert all(meets(rule, mounted) for rule in rules)


@given(st.text(max_size=20), st.text(max_size=20), st.lists(st.text(max_size=20), max_size=4))
def test_any_mount_is_worked_out_or_says_why(source: str, kind: str, options: list[str]) -> None:
    found: list[Reach] = list(mount_reaches(mount(source, kind, *options)))
    assert all((reach.leads_to is None) == bool(reach.why) for reach in found)
    assert found or kind in {"tmpfs", "ramfs", "hugetlbfs", "overlay", "overlayfs", "devpts"}
