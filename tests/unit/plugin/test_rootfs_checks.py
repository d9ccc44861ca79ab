"""Findings in a root filesystem that decide if the plugin can be enabled."""

from __future__ import annotations

from typing import Any

import pytest

from mirror.plugin.lint.rootfs_checks import check_rootfs, names_to_find
from mirror.plugin.lint.start_checks import IntendedPlatform
from mirror.plugin.rootfs.entry import LayerEntry
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.startup.plugin_platform import platform_of
from tests.support.rootfs import SOCKET, config, elf, file, folder, link, rootfs

Told = tuple[LayerEntry, bytes]

STATIC = elf() + SOCKET.encode()
DYNAMIC = elf(loader="/lib/ld.so", needed=["liba.so"]) + SOCKET.encode()
SCRIPT = b"#!/bin/sh\nexec driver " + SOCKET.encode()
MUSL = [link("bin/sh", "busybox"), file("bin/busybox", elf(loader="/lib/ld-musl.so", needed=["libc.so"]))]


def codes(*entries: Told, meant: IntendedPlatform | None = None, **members: Any) -> list[str]:
    whole = config(**members)
    found = rootfs(*entries, names=names_to_find(whole))
    return [finding.code for finding in check_rootfs(whole, found, meant)]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([file("bin/driver", STATIC)], []),
        ([file("sbin/driver", STATIC), link("bin", "sbin")], []),
        ([file("opt/driver", STATIC), link("bin/driver", "../opt/driver")], []),
        ([file("opt/driver", STATIC)], ["entrypoint-missing"]),
        ([link("bin/driver", "/nowhere"), file("x", STATIC)], ["entrypoint-missing"]),
        ([file("bin/driver", STATIC, 0o644)], ["entrypoint-not-executable"]),
        ([folder("bin/driver"), file("x", STATIC)], ["entrypoint-not-executable"]),
        ([file("bin/driver", b"echo " + SOCKET.encode())], ["entrypoint-no-program"]),
        ([file("bin/driver", SCRIPT), file("bin/sh", elf())], []),
        ([file("bin/driver", SCRIPT)], ["interpreter-missing"]),
        ([file("bin/driver", b"#!/bin/sh\r\n" + SOCKET.encode()), file("bin/sh", elf())], ["interpreter-missing"]),
        ([file("bin/driver", SCRIPT), *MUSL], ["loader-missing"]),
        ([file("bin/driver", SCRIPT), *MUSL, file("lib/ld-musl.so")], ["libraries-missing"]),
        ([file("bin/driver", SCRIPT), *MUSL, file("lib/ld-musl.so"), link("lib/libc.so", "ld-musl.so")], []),
        ([file("bin/driver", DYNAMIC)], ["loader-missing"]),
        ([file("bin/driver", DYNAMIC), file("lib/ld.so")], ["libraries-missing"]),
        ([file("bin/driver", DYNAMIC), file("lib/ld.so"), file("opt/liba.so", elf())], []),
        (
            [
                file("bin/driver", DYNAMIC),
                file("lib/ld.so"),
                file("lib/liba.so", elf(needed=["libb.so", "liba.so"]), 0o644),
            ],
            ["libraries-missing"],
        ),
        ([file("bin/driver", elf(0x9999) + SOCKET.encode())], ["platform-unknown"]),
        ([file("bin/driver", elf())], ["socket-unmentioned"]),
        ([file("bin/driver", elf()), file("etc/conf", SOCKET.encode(), 0o644)], []),
        ([file("bin/driver", elf() + b"driver")], []),
        ([file("bin/driver", STATIC), file("a"), file(".wh.a")], ["whiteouts"]),
        ([file("bin/driver", STATIC), file("n" * 300)], ["names-long"]),
    ],
)
def test_what_is_found(entries: list[Told], expected: list[str]) -> None:
    assert codes(*entries) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"Entrypoint": ["driver"]}, []),
        ({"Entrypoint": ["absent"]}, ["entrypoint-missing"]),
        ({"Entrypoint": ["bin/driver"]}, []),
        ({"Entrypoint": ["./driver"], "WorkDir": "/bin"}, []),
        ({"Entrypoint": ["driver"], "Env": [{"Name": "PATH", "Value": "/opt"}]}, ["entrypoint-missing"]),
        ({"Entrypoint": ["driver"], "Env": [{"Name": "PATH", "Value": "/opt:/bin"}]}, []),
        ({"Entrypoint": ["/host/driver"], "Mounts": [{"Source": "/x", "Destination": "/host"}]}, ["program-from-host"]),
        ({"PropagatedMount": "/mnt/volumes"}, ["propagated-mount-missing"]),
        ({"PropagatedMount": "bin"}, ["program-hidden"]),
    ],
)
def test_what_the_config_says_counts(members: dict[str, Any], expected: list[str]) -> None:
    assert codes(file("bin/driver", STATIC), **members) == expected


def test_env_looks_for_its_program() -> None:
    python = [file("bin/driver", b"#!/usr/bin/env -S python3 -u\n" + SOCKET.encode()), file("usr/bin/env", elf())]
    assert codes(*python) == ["interpreter-missing"]
    assert codes(*python, file("usr/local/bin/python3", elf())) == []


@pytest.mark.parametrize(
    ("line", "expected"), [("python3", []), ("python3 -u", ["interpreter-missing"]), ("python3 \t", [])]
)
def test_env_takes_the_rest_of_the_line_for_one_name(line: str, expected: list[str]) -> None:
    driver = file("bin/driver", f"#!/usr/bin/env {line}\n{SOCKET}".encode())
    assert codes(driver, file("usr/bin/env", elf()), file("usr/bin/python3", elf())) == expected


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("exec runsvdir /etc/service", [], ["program-missing"]),
        ("exec runsvdir /etc/service", [file("bin/busybox", elf())], []),
        ("exec runsvdir /etc/service", [file("usr/bin/runsvdir", elf())], []),
        ("runsvdir /etc/service; exec /bin/sh", [], []),
        ("exec runsvdir /etc/service &", [], []),
    ],
)
def test_a_missing_tool_at_the_end_of_a_script(text: str, more: list[Told], expected: list[str]) -> None:
    driver = file("bin/driver", f"#!/bin/sh\n# {SOCKET}\n{text}\n".encode())
    assert codes(driver, file("bin/sh", elf()), *more) == expected


def test_scripts_for_scripts_without_end() -> None:
    assert codes(file("bin/driver", b"#!/bin/driver\n" + SOCKET.encode())) == []


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("linux/arm64", ["platform-wrong"]), ("linux/amd64", []), ("freebsd/amd64", ["platform-wrong"])],
)
def test_a_program_for_another_platform(platform: str, expected: list[str]) -> None:
    meant = IntendedPlatform(Platform.parse(platform), "the tag says")
    assert codes(file("bin/driver", STATIC), meant=meant) == expected


@pytest.mark.parametrize(
    ("entries", "platform"),
    [
        ([file("bin/driver", elf(183)), file("a", elf()), file("b", elf())], "linux/arm64"),
        ([file("bin/driver", b"#!/bin/sh"), file("bin/sh", elf(183)), file("a", elf())], "linux/arm64"),
        ([file("elsewhere", elf(183)), file("a", elf()), file("b", elf())], "linux/amd64"),
        ([file("bin/driver", b"text")], None),
    ],
)
def test_what_a_plugin_runs_on(entries: list[Told], platform: str | None) -> None:
    found = platform_of(config(), rootfs(*entries))
    assert (found and str(found)) == platform


def test_what_was_not_read_as_a_whole_is_not_judged() -> None:
    whole = config()
    found = rootfs(file("x"))
    found.tree.whole = False
    assert [finding.code for finding in check_rootfs(whole, found)] == ["rootfs-not-read"]
