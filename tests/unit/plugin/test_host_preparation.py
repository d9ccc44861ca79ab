"""Paths that a plugin needs on a host, and the commands that make them."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.config.host_preparation import HostKind, host_kind, host_preparation
from tests.support.rootfs import config

PATHS = st.text(alphabet="/.ab -'$é\n", min_size=1, max_size=12).map(lambda text: f"/{text}")


def prepared(*sources: str, devices: tuple[str, ...] = ()) -> tuple[tuple[str, ...], str]:
    mounts = [{"Source": source, "Destination": "/m", "Options": ["rbind"]} for source in sources]
    whole = config(Mounts=mounts, Linux={"Devices": [{"Path": path} for path in devices]})
    return host_preparation(whole).commands, host_preparation(whole).sentence


@pytest.mark.parametrize(
    ("sources", "devices", "commands"),
    [
        (["/tmp", "/var/run", "/etc/hosts", "/dev/null"], [], []),
        (["/etc/acme/", "/var//log/acme", "/etc/acme"], [], ["mkdir -p /etc/acme /var/log/acme"]),
        (["/lib/modules"], [], ["mkdir -p /lib/modules"]),
        (["/etc/conf.d"], [], ["mkdir -p /etc/conf.d"]),
        (["/srv/a b"], [], ["mkdir -p '/srv/a b'"]),
        (["/srv/\u202ea"], [], []),
        (["/var/run/docker.sock", "/etc/acme.conf"], [], []),
        (["/sys/kernel/debug", "/dev/dri"], [], []),
        ([], ["/dev/fuse", "/dev/net/tun", "/dev/fuse"], ["modprobe fuse", "modprobe tun"]),
        (
            [],
            ["/dev/nbd3", "/dev/loop-control", "/dev/mapper/control"],
            [f"modprobe {m}" for m in ("nbd", "loop", "dm_mod")],
        ),
        ([], ["/dev/kvm"], ["modprobe kvm_intel || modprobe kvm_amd"]),
        (["/dev/fuse"], [], ["modprobe fuse"]),
        ([], ["/dev/sdb", "/srv/node"], []),
    ],
)
def test_commands_make_what_is_missing(sources: list[str], devices: list[str], commands: list[str]) -> None:
    assert list(prepared(*sources, devices=tuple(devices))[0]) == commands


def test_what_no_command_makes_is_named() -> None:
    _, sentence = prepared("/run/acme.sock", "/etc/acme", devices=("/dev/sdb", "/dev/fuse"))
    assert sentence == (
        "run on the host first: 'mkdir -p /etc/acme', 'modprobe fuse'; files that must exist: /run/acme.sock; "
        "devices that the host must have: /dev/sdb"
    )


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp", HostKind.FOLDER),
        ("//tmp/./", HostKind.FOLDER),
        ("/etc/hosts", HostKind.FILE),
        ("/run/docker.sock", HostKind.FILE),
        ("/dev/null", HostKind.DEVICE),
        ("/dev/fuse", HostKind.DEVICE),
        ("/dev/sda1", HostKind.DEVICE),
        ("/dev/infiniband", HostKind.FOLDER),
        ("/dev/vg0", None),
        ("/srv/data", None),
        ("tmp", None),
        ("", None),
    ],
)
def test_only_kinds_that_every_host_agrees_on_are_known(path: str, kind: HostKind | None) -> None:
    assert host_kind(path) is kind


@given(st.lists(PATHS, max_size=4))
def test_a_command_makes_exactly_the_folders(paths: list[str]) -> None:
    commands, sentence = prepared(*paths)
    assert sentence.isprintable()
    for command in commands:
        assert all(word.startswith("/") for word in shlex.split(command)[2:])
