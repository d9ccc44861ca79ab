"""Programs recognised while they are read: real, generated and broken ones."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.rootfs.elf import Elf
from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.program import Program, ProgramReader
from tests.harness.requirement import require
from tests.support.rootfs import elf

AMD64 = Platform("linux", "amd64")


def read(content: bytes, cut: int = 1000) -> Program:
    reader = ProgramReader()
    for start in range(0, len(content), cut):
        reader.feed(content, start, min(start + cut, len(content)))
    return reader.finish()


@pytest.mark.parametrize("cut", [1, 7, 4096, 5000, 10**6])
@pytest.mark.parametrize("gap", [0, 3900, 9000])
@pytest.mark.parametrize(("wide", "little"), [(True, True), (True, False), (False, True), (False, False)])
def test_what_a_program_needs(cut: int, gap: int, wide: bool, little: bool) -> None:
    machine = {(True, True): 62, (True, False): 22, (False, True): 3, (False, False): 8}[wide, little]
    content = elf(
        machine,
        loader="/lib/ld.so",
        needed=["libc.so.6", "libm.so"],
        paths="/a:$ORIGIN/b",
        gap=gap,
        wide=wide,
        little=little,
    )
    found = read(content, cut).elf
    assert found is not None
    assert (found.interpreter, found.needed, found.paths) == (
        "/lib/ld.so",
        ("libc.so.6", "libm.so"),
        ("/a", "$ORIGIN/b"),
    )
    assert found.platform is not None


def test_a_static_program_needs_nothing() -> None:
    assert read(elf()) == Program(elf=Elf(AMD64))


def test_names_beyond_what_is_kept_are_not_known() -> None:
    content = bytearray(elf(loader="/lib/ld.so", needed=["libc.so.6"]))
    at = content.index(b"\x05\0\0\0\0\0\0\0") + 8
    content[at : at + 8] = (0x10000 + 9_000_000).to_bytes(8, "little")  # where its names would lie
    segment = 64 + 2 * 56
    content[segment + 32 : segment + 40] = (10_000_000).to_bytes(8, "little")
    found = read(bytes(content) + bytes(9_100_000 - len(content)), 65536).elf
    assert found == Elf(AMD64, "/lib/ld.so", needed=None)


def test_a_real_program_is_read_as_readelf_reads_it() -> None:
    require(None if shutil.which("readelf") else "readelf is not installed (Debian: apt-get install binutils)")
    program = Path("/bin/ls").resolve()
    told = subprocess.run(["readelf", "-ldW", str(program)], capture_output=True, text=True, check=True).stdout
    found = read(program.read_bytes(), 65536).elf
    assert found is not None
    assert found.interpreter is not None
    assert f"[Requesting program interpreter: {found.interpreter}]" in told
    assert list(found.needed or ()) == [
        line.partition("[")[2].rstrip("]") for line in told.splitlines() if "(NEEDED)" in line
    ]


@pytest.mark.parametrize(
    ("content", "interpreter", "argument"),
    [
        (b"#!/bin/sh\necho", "/bin/sh", ""),
        (b"#! /usr/bin/env python3 -u\n", "/usr/bin/env", "python3 -u"),
        (b"#!/bin/sh -e", "/bin/sh", "-e"),
        (b"#!/bin/sh\t-e\n", "/bin/sh", "-e"),
        (b"#!/bin/sh\r\necho", "/bin/sh\r", ""),
        (b"#!\n", "", ""),
        (b"\n#!/bin/sh", None, ""),
        (b"\xef\xbb\xbf#!/bin/sh", None, ""),
        (b"", None, ""),
    ],
)
def test_scripts(content: bytes, interpreter: str | None, argument: str) -> None:
    found = read(content)
    assert (found.elf, found.interpreter, found.argument) == (None, interpreter, argument)


@pytest.mark.parametrize(
    ("content", "is_kept"),
    [
        (b"#!/bin/sh\nexec a", True),
        (b"#!/usr/bin/env bash\n", True),
        (b"#!/usr/bin/with-contenv sh\n", True),
        (b"#!/bin/busybox sh\n", True),
        (b"#!/usr/bin/python3\n", False),
        (b"#!/bin/sh\n".ljust(64 * 1024, b" "), True),
        (b"#!/bin/sh\n".ljust(64 * 1024 + 1, b" "), False),
        (b"#!/bin/sh\nexit\n\0", False),
        (b"exec a", False),
    ],
)
@pytest.mark.parametrize("cut", [1000, 10**6])
def test_the_text_of_shell_scripts_is_kept(content: bytes, is_kept: bool, cut: int) -> None:
    assert read(content, cut).script_text == (content.decode() if is_kept else None)


@given(st.binary(max_size=200), st.integers(1, 300), st.integers(0, 250))
def test_whatever_a_program_is(noise: bytes, cut: int, at: int) -> None:
    whole = elf(loader="/lib/ld.so", needed=["libc.so.6"], paths="/a")
    for content in (noise, b"\x7fELF" + noise, whole[:at] + noise + whole[at:], whole[:at]):
        assert read(content, cut) == read(content, 10**6)


def test_little_is_kept_of_a_large_program() -> None:
    reader = ProgramReader()
    piece = elf(loader="/lib/ld.so", needed=["libc.so.6"]).ljust(1024 * 1024, b"\0")
    for _ in range(20):
        reader.feed(piece, 0, len(piece))
    assert len(reader._kept) <= 8 * 1024 * 1024
    assert reader.finish().elf == Elf(AMD64, "/lib/ld.so", ("libc.so.6",))
