"""Layers that the installer lays over each other: the files that engines make of them, and no others."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.bundle.installer.installer_fault import InstallerFault
from mirror.bundle.installer.layered_files import LayeredFiles
from mirror.bundle.installer.plugin_folder_writing import remove_plugin, write_plugin, write_unpacked
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.rootfs.entry import LayerEntry
from mirror.plugin.rootfs.tree import Tree
from tests.harness.requirement import require
from tests.support.layer_cases import BELOW, CASES, file, folder, link, symlink
from tests.support.layers import entry, tar, zipped


def written(layer: Sequence[LayerEntry]) -> bytes:
    headers = []
    for each in layer:
        info = tarfile.TarInfo(each.path)
        info.type, info.mode, info.linkname = each.kind.value, each.mode, each.target
        headers.append(info.tobuf(tarfile.GNU_FORMAT))
    return tar(*headers)


def layered(*layers: bytes) -> LayeredFiles:
    files = LayeredFiles()
    for layer in layers:
        files.add_layer(io.BytesIO(layer))
    return files


def device(name: str, kind: bytes = tarfile.CHRTYPE, major: int = 1, minor: int = 3) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor, info.mode = kind, major, minor, 0o666
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("name", CASES)
def test_layers_lie_over_each_other_as_in_engines(name: str) -> None:
    layer, expected = CASES[name]
    files = layered(written(BELOW), written(layer))
    assert " ".join(path for path, _ in files.walk()) == expected


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".wh.a", ".wh..wh..opq", "."]), min_size=1, max_size=3).map("/".join)
ENTRIES = st.lists(
    st.one_of(
        st.builds(file, NAMES),
        st.builds(folder, NAMES),
        st.builds(symlink, NAMES, st.sampled_from(["a", "/b", "..", "b/a", "/"])),
        st.builds(link, NAMES, NAMES),
    ),
    max_size=8,
)


@given(st.lists(ENTRIES, min_size=1, max_size=3))
@example([[link(".wh.a", "..")]])
@example([[link(".wh..wh.x", ".wh.a/b")]])
def test_both_implementations_agree(layers: list[list[LayerEntry]]) -> None:
    tree = Tree()
    expected: list[tuple[str, bytes]] | None
    try:
        for layer in layers:
            tree.apply((each, None) for each in layer)
        expected = [(path, node.kind.value) for path, node in tree.walk()]
    except ManifestInvalid:
        expected = None
    try:
        found = [(path, each.kind) for path, each in layered(*map(written, layers)).walk()]
    except InstallerFault:
        found = None
    assert found == expected


@pytest.mark.parametrize(
    "layer",
    [
        tar(entry("../x")),
        tar(entry("a/../../x")),
        tar(entry("/../../etc/passwd")),
        tar(entry("x", kind=tarfile.CONTTYPE)),
        tar(entry("x", kind=b"S")),
        tar(entry("x", form=tarfile.PAX_FORMAT, pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})),
        tar(entry("pax", b"17 path=other/x\n\n", kind=b"g"), entry("x")),
        tar(entry("x", form=tarfile.PAX_FORMAT, pax={"uid": "4294967295"})),
        tar(entry("x", form=tarfile.PAX_FORMAT, pax={"comment": "c" * 1024**2})),
        tar(entry("x", form=tarfile.PAX_FORMAT, pax={"mtime": "inf"})),
        tar(device("x", minor=2**21 - 1)),
        entry("x", b"content")[:700],
        entry("x") + b"no header".ljust(512, b"\0") + tar(entry("y")),
        b"no tar" * 200,
        tar(entry(".wh.a/b")),
        tar(entry("a/.wh.")),
        tar(entry("a", kind=tarfile.SYMTYPE), entry("b", kind=tarfile.LNKTYPE)),
    ],
)
def test_a_layer_that_engines_refuse_or_misread_is_refused(layer: bytes) -> None:
    with pytest.raises(InstallerFault):
        layered(layer)


def test_links_to_links_end(tmp_path: Path) -> None:
    target = "/".join(["a"] * 2000)
    many = [symlink(f"l{number}", f"l{number + 1}/{target}") for number in range(60)]
    with pytest.raises(InstallerFault, match="not a folder"):
        layered(written([*many, file("l0/x")]))


def test_a_comment_in_a_global_header_is_ignored() -> None:
    files = layered(tar(entry("pax", b"18 comment=abcdef\n", kind=b"g"), entry("x")))
    assert [path for path, _ in files.walk()] == ["x"]


@given(st.binary(max_size=600), st.integers(0, 3000))
def test_a_mutated_layer_raises_only_faults(change: bytes, place: int) -> None:
    content = bytearray(tar(entry("a/b", b"x" * 700), entry("c", kind=tarfile.SYMTYPE), entry("d" * 200)))
    content[place : place + len(change)] = change
    try:
        layered(bytes(content))
    except InstallerFault:
        return


def unpacked(layer: bytes) -> bytes:
    buffer = io.BytesIO()
    pieces = (layer[start : start + 100] for start in range(0, len(layer), 100))
    write_unpacked(pieces, len(layer), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [bytes, zipped, lambda content: zipped(content[:300]) + zipped(content[300:])])
def test_layers_are_decompressed(pack: Any) -> None:
    content = tar(entry("x", os.urandom(5000)))
    assert unpacked(pack(content)) == content


@pytest.mark.parametrize("layer", [zipped(bytes(5000))[:-9], zipped(bytes(5000)) + b"rest", b"\x1f\x8b" + bytes(50)])
def test_broken_gzip_is_refused(layer: bytes) -> None:
    with pytest.raises(InstallerFault):
        unpacked(layer)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.bundle.installer.plugin_folder_writing._ALLOWANCE_BYTES", 1024)
    with pytest.raises(InstallerFault, match="plausible"):
        unpacked(gzip.compress(bytes(10_000_000)))


def test_files_are_written_with_modes_times_and_links(tmp_path: Path) -> None:
    layer = tar(
        entry("bin", kind=tarfile.DIRTYPE, mode=0o555),
        entry("bin/driver", b"program", mode=0o4755, form=tarfile.PAX_FORMAT, pax={"mtime": "1700000000.5"}),
        entry("bin/same", kind=tarfile.LNKTYPE, form=tarfile.PAX_FORMAT, pax={"linkpath": "bin/driver"}),
        entry("out", kind=tarfile.SYMTYPE, form=tarfile.PAX_FORMAT, pax={"linkpath": "/etc/passwd"}),
        entry("pipe", kind=tarfile.FIFOTYPE, mode=0o600),
    )
    write_plugin(str(tmp_path), b"{ }", layered(layer))
    rootfs = tmp_path / "rootfs"
    assert (tmp_path / "config.json").read_bytes() == b"{ }"
    assert (rootfs / "bin/driver").read_bytes() == b"program"
    assert stat.S_IMODE((rootfs / "bin/driver").stat().st_mode) == 0o4755
    assert (rootfs / "bin/driver").stat().st_mtime == 1_700_000_000
    assert (rootfs / "bin/same").samefile(rootfs / "bin/driver")
    assert (rootfs / "out").readlink() == Path("/etc/passwd")
    assert stat.S_ISFIFO((rootfs / "pipe").stat().st_mode)
    assert stat.S_IMODE((rootfs / "bin").stat().st_mode) == 0o555
    remove_plugin(str(tmp_path))
    assert not tmp_path.exists()


def test_only_the_last_layer_of_a_file_counts(tmp_path: Path) -> None:
    write_plugin(str(tmp_path), b"{}", layered(tar(entry("a", b"old"), entry("b", b"b")), tar(entry("a", b"new"))))
    assert (tmp_path / "rootfs/a").read_bytes() == b"new"
    assert (tmp_path / "rootfs/b").read_bytes() == b"b"


def test_owners_devices_and_attributes_are_those_of_the_layer(tmp_path: Path) -> None:
    require(None if os.geteuid() == 0 else "owners and devices need root")
    capability = b"\1\0\0\2\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".decode()
    owned = {"uid": "1000", "gid": "70000", "SCHILY.xattr.security.capability": capability}
    layer = tar(entry("f", b"x", form=tarfile.PAX_FORMAT, pax=owned), device("null"))
    assert write_plugin(str(tmp_path), b"{}", layered(layer)) == []
    found = (tmp_path / "rootfs/f").stat()
    assert (found.st_uid, found.st_gid) == (1000, 70000)
    assert os.getxattr(tmp_path / "rootfs/f", "security.capability") == capability.encode()
    assert (tmp_path / "rootfs/null").stat().st_rdev == os.makedev(1, 3)


def test_without_root_owners_and_devices_are_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    owned = entry("f", b"x", form=tarfile.PAX_FORMAT, pax={"uid": "70000"})
    notes = write_plugin(str(tmp_path), b"{}", layered(tar(owned, device("null"))))
    assert (tmp_path / "rootfs/f").stat().st_uid == os.getuid()
    assert not (tmp_path / "rootfs/null").exists()
    assert len(notes) == 2
