"""Platforms detected from tags and programs."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci.errors import NameInvalid
from mirror.plugin.rootfs.platform import Platform, platform_from_elf, platform_from_tag


@pytest.mark.parametrize(
    ("tag", "platform", "used"),
    [
        ("3.6.0-arm64", "linux/arm64", "arm64"),
        ("arm64-1.66.0", "linux/arm64", "arm64"),
        ("release-linux-arm64", "linux/arm64", "arm64"),
        ("latest-amd64", "linux/amd64", "amd64"),
        ("linux-armv7", "linux/arm/v7", "armv7"),
        ("release-linux-arm-v7", "linux/arm/v7", "arm-v7"),
        ("arm-v6", "linux/arm/v6", "arm-v6"),
        ("arm32v5", "linux/arm/v5", "arm32v5"),
        ("armv7l-2", "linux/arm/v7", "armv7l"),
        ("armv6hf", None, None),
        ("armhf", "linux/arm/v7", "armhf"),
        ("armel", "linux/arm/v6", "armel"),
        ("arm", "linux/arm", "arm"),
        ("arm-v7.1", "linux/arm", "arm"),
        ("arm-v9", "linux/arm", "arm"),
        ("armv8", "linux/arm64", "armv8"),
        ("arm64v8", "linux/arm64", "arm64v8"),
        ("1.0-AArch64", "linux/arm64", "AArch64"),
        ("v1.8.0_x86_64", "linux/amd64", "x86_64"),
        ("x86-64-1", "linux/amd64", "x86-64"),
        ("x86", "linux/386", "x86"),
        ("linux-386", "linux/386", "386"),
        ("1.386.0", None, None),
        ("386", "linux/386", "386"),
        ("amd64-linux-amd64", "linux/amd64", "amd64"),
        ("windows-amd64", "windows/amd64", "amd64"),
        ("ppc64le", "linux/ppc64le", "ppc64le"),
        ("1.0_s390x", "linux/s390x", "s390x"),
        ("latest", None, None),
        ("charm-2", None, None),
        ("armada", None, None),
        ("amd64-arm64", None, None),
        ("linux-windows-amd64", None, None),
        ("armv6-armv7", None, None),
    ],
)
def test_a_tag_says_a_platform(tag: str, platform: str | None, used: str | None) -> None:
    said = platform_from_tag(tag)
    assert (said and str(said.platform), said and said.used) == (platform, used)


GOARCHES = ["amd64", "arm64", "386", "ppc64le", "ppc64", "s390x", "riscv64", "loong64", "mips", "mips64le"]


@given(
    st.sampled_from(GOARCHES),
    st.sampled_from(["", "1.2.3-", "latest_", "release-linux-"]),
    st.sampled_from(["", "-3.6.0", "_latest", "-rc1"]),
)
def test_go_names_are_found_wherever_they_stand(architecture: str, before: str, after: str) -> None:
    said = platform_from_tag(before + architecture + after)
    assert said is not None
    assert said.platform == Platform("linux", architecture)


@given(st.text(alphabet="armx864vhfl_-.2571dpc", max_size=128))
def test_whatever_a_tag_is_what_was_used_stands_in_it(tag: str) -> None:
    said = platform_from_tag(tag)
    assert said is None or (said.used in tag and Platform.parse(str(said.platform)) == said.platform)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("linux/arm/v7", Platform("linux", "arm", "v7")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("plan9/sparc", Platform("plan9", "sparc")),
    ],
)
def test_platforms_are_read(text: str, platform: Platform) -> None:
    assert Platform.parse(text) == platform
    assert Platform.parse(str(platform)) == platform


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "linux/arm/7", "linux/arm/v7/x", "Linux/amd64", "a\n/b"]
)
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(NameInvalid):
        Platform.parse(text)


def test_a_variant_that_is_not_known_covers_every_one() -> None:
    arm, v6, v7 = Platform("linux", "arm"), Platform("linux", "arm", "v6"), Platform("linux", "arm", "v7")
    assert arm.covers(v7)
    assert v7.covers(arm)
    assert not v6.covers(v7)
    assert not arm.covers(Platform("linux", "arm64"))


def elf(machine: int, bits: int = 64, *, little: bool = True, abi: int = 0) -> bytes:
    ident = b"\x7fELF" + bytes([bits // 32, 1 if little else 2, 1, abi]) + bytes(8)
    return ident + struct.pack("<HH" if little else ">HH", 2, machine)


@pytest.mark.parametrize(
    ("head", "platform"),
    [
        (elf(62), "linux/amd64"),
        (elf(62, 32), None),
        (elf(183), "linux/arm64"),
        (elf(40, 32), "linux/arm"),
        (elf(3, 32), "linux/386"),
        (elf(21), "linux/ppc64le"),
        (elf(21, little=False), "linux/ppc64"),
        (elf(22, little=False), "linux/s390x"),
        (elf(243), "linux/riscv64"),
        (elf(258), "linux/loong64"),
        (elf(8, 32, little=False), "linux/mips"),
        (elf(8), "linux/mips64le"),
        (elf(62, abi=3), "linux/amd64"),
        (elf(62, abi=9), "freebsd/amd64"),
        (elf(0x9999), None),
        (elf(62)[:19], None),
        (b"#!/bin/sh\necho hello\n", None),
        (b"", None),
    ],
)
def test_a_program_says_a_platform(head: bytes, platform: str | None) -> None:
    found = platform_from_elf(head)
    assert (found and str(found)) == platform


def test_the_program_that_runs_this_is_for_this_machine() -> None:
    with Path(sys.executable).open("rb") as program:
        head = program.read(64)
    assert str(platform_from_elf(head)) in {"linux/amd64", "linux/arm64", "linux/riscv64"}


@given(st.binary(max_size=64))
@example(b"\x7fELF" + bytes(16))
@example(b"\x7fELF" + b"\xff" * 16)
def test_whatever_a_file_begins_with(head: bytes) -> None:
    for begun in (head, b"\x7fELF" + head):
        found = platform_from_elf(begun)
        assert found is None or Platform.parse(str(found)) == found
