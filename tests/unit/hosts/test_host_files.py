"""The file system of a host, read below another root folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.hosts.checks.host_facts import HostFiles, PathKind
from mirror.hosts.checks.host_files import MountPoint, mount_of, parse_mounts, read_host_files, why_unseen
from mirror.hosts.engine_answers import read_info, read_plugins, read_version
from mirror.oci import Digest
from tests.unit.hosts.content import INFO, PLUGIN, VERSION

ENGINE, HOST = read_version(VERSION), read_info(INFO)
PLUGINS = read_plugins([PLUGIN, PLUGIN | {"Id": "b" * 64}, PLUGIN | {"Id": "../../etc"}])
MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 8:2 / /var rw,nosuid - ext4 /dev/sda2 rw
31 30 8:3 / /var/lib/docker rw,noexec,nodev - ext4 /dev/sda3 rw
32 22 8:4 / /with\\040space rw - ext4 /dev/sda4 rw
short line
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with some folders, and the tables of its kernel."""
    for folder in ("srv", "var/lib/docker/plugins", "lib/modules/6.1.0", "proc/sys/kernel", "proc/self", "dev"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/sys/fs/binfmt_misc").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("6.1.0\n")
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTS)
    (tmp_path / "proc/filesystems").write_text("nodev\tsysfs\n\text4\n\n")
    usable = "enabled\ninterpreter /usr/bin/qemu\nflags: OCF\noffset 0\n"
    for name, content in {
        "qemu-aarch64": usable,
        "qemu-arm": usable.replace("enabled", "disabled"),
        "qemu-s390x": usable.replace("OCF", "OC"),
        "status": "enabled\n",
    }.items():
        (tmp_path / "proc/sys/fs/binfmt_misc" / name).write_text(content)
    (tmp_path / "file").touch()
    return tmp_path


def read(root: Path, *paths: str) -> HostFiles:
    return read_host_files(paths, ENGINE, HOST, PLUGINS, root)


def test_the_tables_of_the_kernel_are_read(root: Path) -> None:
    found = read(root)
    assert found.kernel == "6.1.0"
    assert found.has_modules
    assert found.file_systems == {"sysfs", "ext4"}
    assert found.emulated == {"arm64"}
    assert found.data_root_options == {"rw", "noexec", "nodev"}
    assert found.free_bytes is not None


def test_paths_have_kinds(root: Path) -> None:
    (root / "link").symlink_to("srv")
    (root / "broken").symlink_to("nowhere")
    found = read(root, "/srv", "/link", "/file", "/broken", "/nope", "/a\0b", "/file/below")
    assert found.paths == {
        "/srv": PathKind.FOLDER,
        "/link": PathKind.FOLDER,
        "/file": PathKind.OTHER,
        **dict.fromkeys(("/broken", "/nope", "/a\0b", "/file/below"), PathKind.MISSING),
    }


def test_a_device_is_a_device() -> None:
    found = read_host_files(["/dev/null"], ENGINE, HOST, (), Path("/"))
    assert found.paths == {"/dev/null": PathKind.DEVICE}


def test_a_host_without_tables_is_read(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.file_systems, found.data_root_options, found.free_bytes) == (frozenset(), frozenset(), None)
    assert not found.has_modules


def test_digests_come_from_the_records_of_the_engine(root: Path) -> None:
    digest = Digest.of(b"manifest")
    record = {"plugin": {"Config": {}, "Settings": {}, "Name": "x:1"}, "Manifest": str(digest)}
    for name, content in (("a" * 64, json.dumps(record)), ("b" * 64, "broken")):
        folder = root / "var/lib/docker/plugins" / name
        folder.mkdir()
        (folder / "config.json").write_text(content)
    assert read(root).digests == {"a" * 64: digest}


def test_another_kernel_or_an_unseen_data_root_is_another_file_system(root: Path) -> None:
    assert why_unseen(ENGINE, HOST, root) == ""
    (root / "proc/sys/kernel/osrelease").write_text("6.2.0\n")
    assert "another kernel (6.1.0)" in why_unseen(ENGINE, HOST, root)
    (root / "proc/sys/kernel/osrelease").write_text("6.1.0\n")
    (root / "var/lib/docker/plugins").rmdir()
    (root / "var/lib/docker").rmdir()
    assert "may run in a container" in why_unseen(ENGINE, HOST, root)


def test_this_kernel_is_seen_below_the_real_root(tmp_path: Path) -> None:
    # Files of /proc/sys refuse large reads, which only the real ones show.
    engine = read_version(VERSION | {"KernelVersion": os.uname().release})
    assert why_unseen(engine, read_info(INFO | {"DockerRootDir": str(tmp_path)})) == ""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/", "/"),
        ("/varnish", "/"),
        ("/var/lib", "/var"),
        ("/var/lib/docker/x", "/var/lib/docker"),
        ("/with space", "/with space"),
    ],
)
def test_the_nearest_mount_holds_a_path(path: str, mount: str) -> None:
    found = mount_of(path, parse_mounts(MOUNTS))
    assert found is not None
    assert found.path == mount


def test_the_last_of_several_mounts_is_on_top() -> None:
    below, above = MountPoint("/a", frozenset({"ro"})), MountPoint("/a", frozenset({"rw"}))
    assert mount_of("/a/b", [below, above]) is above
    assert mount_of("/b", [below]) is None


@given(st.text(st.sampled_from("/ab \\0123456-\n"), max_size=120))
def test_any_table_of_mounts_is_read(text: str) -> None:
    mount_of("/a/b", parse_mounts(text))
