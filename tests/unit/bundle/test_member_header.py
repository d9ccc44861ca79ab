"""Headers of members: the bytes, and how Python and GNU tar read them."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.format.member import INDEX, OCI_LAYOUT, REPORT, STATEMENT, Member, key_set_path
from mirror.bundle.format.member_header import END, header_size_bytes, member_header, padding
from mirror.oci import Digest

LARGEST_IN_OCTAL = 8**11 - 1
SHA256, SHA512 = Member.of_blob(Digest.of(b"a"), 1).path, Member.of_blob(Digest.of(b"a", "sha512"), 1).path
PATHS = [OCI_LAYOUT, INDEX, STATEMENT, REPORT, key_set_path(1), key_set_path(999_999_999), SHA256, SHA512]


def test_the_bytes_of_a_header() -> None:
    assert member_header("index.json", 1234) == (
        b"index.json" + bytes(90)
        + b"0000644\x000000000\x000000000\x00"
        + b"00000002322\x0000000000000\x00"
        + b"011206\x00 0"
        + bytes(100)
        + b"ustar\x0000" + bytes(64)
        + b"0000000\x000000000\x00" + bytes(167)
    )  # fmt: skip


@given(path=st.sampled_from(PATHS), size=st.one_of(st.integers(0, 2**20), st.integers(8**11 - 3, 2**50)))
def test_python_reads_path_and_size(path: str, size: int) -> None:
    header = member_header(path, size)
    assert len(header) == header_size_bytes(path, size)
    assert len(header) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(header + END), mode="r:") as tar:
        info = tar.next()
    assert info is not None
    assert (info.name, info.size, info.mode, info.mtime, info.uid, info.gid) == (path, size, 0o644, 0, 0, 0)
    assert (info.isreg(), info.uname, info.gname, info.linkname) == (True, "", "", "")


@pytest.mark.parametrize("size", [LARGEST_IN_OCTAL, LARGEST_IN_OCTAL + 1])
def test_gnu_tar_reads_path_and_size(tmp_path: Path, size: int) -> None:
    # A file with a hole: it takes no room.
    with (tmp_path / "b.tar").open("wb") as file:
        for path in (SHA256, SHA512):
            file.write(member_header(path, size))
            file.truncate(file.seek(size + len(padding(size)), io.SEEK_CUR))
        file.write(END)
    listed = subprocess.run(
        ["/usr/bin/tar", "--list", "--verbose", "--numeric-owner", "--utc", "--file", tmp_path / "b.tar"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed.stderr == ""
    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["-rw-r--r--", "0/0", str(size), "1970-01-01", "00:00", path] for path in (SHA256, SHA512)
    ]
