"""Mounts against the root filesystem. tests/e2e/test_config_shapes.py compares the findings with an engine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.lint.config_checks import check_config
from mirror.plugin.lint.rootfs_mount_checks import check_rootfs_mounts
from mirror.plugin.rootfs.entry import LayerEntry
from tests.support.rootfs import config, elf, file, folder, link, rootfs

Told = tuple[LayerEntry, bytes]

DRIVER = file("bin/driver", elf())
SCRIPT = [file("opt/start", b"#!/bin/sh\n"), file("bin/sh", elf())]
DYNAMIC = [file("bin/driver", elf(loader="/lib/ld.so")), file("lib/ld.so")]


def codes(*entries: Told, **members: Any) -> list[str]:
    return [finding.code for finding in check_rootfs_mounts(config(**members), rootfs(*entries))]


def mounts(*pairs: tuple[str, str], kind: str = "bind") -> dict[str, Any]:
    options = ["rbind"] if kind == "bind" else []
    return {"Mounts": [{"Source": s, "Destination": d, "Type": kind, "Options": options} for s, d in pairs]}


@pytest.mark.parametrize(
    ("entries", "members", "expected"),
    [
        ([], mounts(("/tmp", "/new/folder")), []),
        ([folder("opt")], mounts(("/tmp", "/opt")), []),
        ([folder("opt")], mounts(("/etc/hosts", "/opt")), ["mount-not-a-file"]),
        ([folder("opt")], mounts(("/dev/fuse", "/opt")), ["mount-not-a-file"]),
        ([folder("opt"), link("here", "opt")], mounts(("/var/run/docker.sock", "/here")), ["mount-not-a-file"]),
        ([folder("opt")], mounts(("/srv/unknown", "/opt")), []),
        ([file("opt")], mounts(("/srv/unknown", "/opt")), []),
        ([file("opt")], mounts(("/etc/hosts", "/opt")), []),
        ([file("opt")], mounts(("/tmp", "/opt")), ["mount-not-a-folder"]),
        ([file("opt")], mounts(("tmpfs", "/opt"), kind="tmpfs"), ["mount-not-a-folder"]),
        ([file("opt")], mounts(("/srv/unknown", "/opt/below")), ["mount-not-a-folder"]),
        ([link("opt", "/nowhere")], mounts(("/tmp", "/opt/below")), []),
        ([file("opt")], {"PropagatedMount": "/opt"}, ["mount-not-a-folder"]),
        ([file("opt")], {"PropagatedMount": "/opt/below"}, ["mount-not-a-folder"]),
        # An earlier mount hides the file.
        ([file("opt/below")], mounts(("/srv", "/opt"), ("/tmp", "/opt/below")), []),
        ([file("opt/below")], mounts(("/tmp", "/opt/below"), ("/srv", "/opt")), ["mount-not-a-folder"]),
        # The engine makes these folders anew.
        ([file("etc")], mounts(("/tmp", "/etc/acme")), []),
        ([file("proc"), file("dev")], mounts(("/tmp", "/dev/x")), []),
        ([], mounts(("/etc/hosts", "/etc")), ["mount-not-a-file"]),
        ([file("etc")], mounts(("/etc/hosts", "/etc")), ["mount-not-a-file"]),
        # The engine makes these files.
        ([], mounts(("/tmp", "/etc/hosts")), ["mount-not-a-folder"]),
        ([], mounts(("/tmp", "/etc/resolv.conf/below")), ["mount-not-a-folder"]),
        ([], mounts(("/etc/hosts", "/etc/hosts")), []),
        ([folder("etc/hostname")], mounts(("/tmp", "/etc/hostname")), []),
        ([], mounts(("/tmp", "/etc"), ("/tmp", "/etc/hosts")), []),
        ([], {"WorkDir": "/etc/hosts"}, ["work-dir-not-a-folder"]),
        ([file("run")], {}, ["mount-not-a-folder"]),
        ([file("run/docker")], {}, ["mount-not-a-folder"]),
        ([folder("etc/hosts")], {}, []),
        ([folder("etc/hosts")], {"Network": {"Type": "host"}}, ["mount-not-a-file"]),
        ([file("etc/hosts")], {"Network": {"Type": "host"}}, []),
        ([], {"WorkDir": "/nowhere"}, []),
        ([folder("opt")], {"WorkDir": "/opt"}, []),
        ([file("opt")], {"WorkDir": "/opt"}, ["work-dir-not-a-folder"]),
        ([file("opt")], {"WorkDir": "/opt/below"}, ["work-dir-not-a-folder"]),
        ([link("opt", "bin/driver")], {"WorkDir": "/opt"}, ["work-dir-not-a-folder"]),
        ([link("opt", "/nowhere")], {"WorkDir": "/opt"}, ["work-dir-not-a-folder"]),
        ([link("opt", "bin")], {"WorkDir": "/opt"}, []),
        ([file("opt")], {"WorkDir": "/opt", **mounts(("/etc/hosts", "/opt"))}, []),
    ],
)
def test_what_a_mount_needs(entries: list[Told], members: dict[str, Any], expected: list[str]) -> None:
    assert codes(DRIVER, *entries, **members) == expected


@pytest.mark.parametrize(
    ("entries", "members", "expected"),
    [
        ([DRIVER], {"PropagatedMount": "/bin"}, ["program-hidden"]),
        ([DRIVER, link("b", "bin")], {"PropagatedMount": "/b"}, ["program-hidden"]),
        ([DRIVER], {"PropagatedMount": "/bin/volumes"}, []),
        ([DRIVER], {"PropagatedMount": "/bi"}, []),
        ([DRIVER], mounts(("tmpfs", "/bin"), kind="tmpfs"), ["program-hidden"]),
        ([], mounts(("tmpfs", "/bin"), kind="tmpfs"), ["program-hidden"]),
        ([DRIVER], mounts(("/srv/bin", "/bin")), ["program-from-host"]),
        ([], mounts(("/srv/bin", "/bin")), ["program-from-host"]),
        ([DRIVER], mounts(("/srv/driver", "/bin/driver")), ["program-from-host"]),
        ([DRIVER], {"PropagatedMount": "/bin", **mounts(("/srv/bin", "/bin"))}, ["program-from-host"]),
        ([DRIVER], mounts(("/srv/sbin", "/sbin")), []),
        ([DRIVER], mounts(("/sys", "/bin")), ["program-hidden"]),
        ([DRIVER], mounts(("/proc/1/root/srv", "/bin")), ["program-from-host"]),
        ([DRIVER], mounts(("proc", "/bin"), kind="proc"), ["program-hidden"]),
        ([DRIVER], mounts(("/etc/hosts", "/bin/driver")), ["program-hidden"]),
        (SCRIPT, {"Entrypoint": ["/opt/start"], "PropagatedMount": "/bin"}, ["program-hidden"]),
        (SCRIPT, {"Entrypoint": ["/opt/start"], **mounts(("/bin", "/bin"))}, []),
        (DYNAMIC, {"PropagatedMount": "/lib"}, ["program-hidden"]),
        (DYNAMIC, mounts(("/lib", "/lib")), []),
        ([DRIVER], {"Entrypoint": ["driver"], "PropagatedMount": "/bin"}, ["program-hidden"]),
        ([DRIVER], {"Entrypoint": ["nowhere"], "PropagatedMount": "/bin"}, []),
    ],
)
def test_what_a_mount_hides(entries: list[Told], members: dict[str, Any], expected: list[str]) -> None:
    assert codes(*entries, **members) == expected


def test_a_program_hidden_by_an_unknown_folder_of_the_host_is_no_error() -> None:
    def severity(*entries: Told) -> str:
        (finding,) = check_rootfs_mounts(config(**mounts(("/srv/bin", "/bin"))), rootfs(*entries))
        return finding.severity.value

    assert severity(DRIVER) == "warning"
    assert severity() == "hint"


TEXTS = st.text(alphabet="/.ab-\0 proc", max_size=12)
NULLABLE = st.none() | TEXTS
MOUNTS = st.fixed_dictionaries(
    {
        "Name": TEXTS,
        "Source": NULLABLE,
        "Destination": TEXTS,
        "Type": st.sampled_from(["", "bind", "tmpfs", "overlay", "ext4"]),
        "Options": st.lists(st.sampled_from(["rbind", "ro", "lowerdir=/a"]), max_size=2),
        "Settable": st.lists(st.sampled_from(["source", "path"]), max_size=2),
    }
)


@given(
    st.fixed_dictionaries(
        {
            "Entrypoint": st.lists(TEXTS, max_size=2),
            "WorkDir": TEXTS,
            "PropagatedMount": TEXTS,
            "Mounts": st.lists(MOUNTS, max_size=4),
            "Env": st.lists(st.fixed_dictionaries({"Name": TEXTS, "Value": NULLABLE}), max_size=2),
            "Interface": st.fixed_dictionaries({"Socket": TEXTS, "Types": st.lists(TEXTS, max_size=2)}),
            "Linux": st.fixed_dictionaries(
                {"Devices": st.lists(st.fixed_dictionaries({"Path": NULLABLE}), max_size=2)}
            ),
        }
    ),
    st.lists(st.sampled_from(["a", "a/b", "ab", "proc", "b/a"]).map(file) | st.just(link("b", "a")), max_size=3),
)
def test_every_config_has_findings_that_can_be_shown(members: dict[str, Any], entries: list[Told]) -> None:
    whole = config(**members)
    for finding in (*check_config(whole), *check_rootfs_mounts(whole, rootfs(*entries))):
        assert finding.text.isprintable()
        assert finding.fix.isprintable()
