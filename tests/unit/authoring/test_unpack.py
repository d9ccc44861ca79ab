"""Unpacked plugins: equal to the packed content, nothing outside the folder, and no incomplete folder left."""

from __future__ import annotations

import asyncio
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.authoring import unpack
from mirror.authoring.files import extract
from mirror.authoring.files.safe_files import FolderBelow
from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, ManifestUnknown, MirrorError, StorageFull
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import hold, index, plugin
from tests.support.layers import entry, tar, zipped
from tests.unit.authoring.conftest import REPOSITORY, TAG, packed, recipe

CONFIG = b'{ "Entrypoint": ["/x"],  "unknown": 1 }\n'


async def unpacked(registry: MemoryRegistry, folder: Path, target: Tag | Digest = TAG) -> unpack.Unpacked:
    return await unpack.unpack(registry, REPOSITORY, target, folder, SilentProgress())


async def held(registry: MemoryRegistry, *layers: bytes) -> None:
    await hold(registry, REPOSITORY, [CONFIG, *layers], [plugin(CONFIG, *layers)], str(TAG))


def folders_beside(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()} - {"spools", "source"}


async def test_what_was_packed_comes_back_and_packs_to_the_same(
    registry: MemoryRegistry, source: Path, tmp_path: Path
) -> None:
    built = await packed(registry, recipe(source))
    await unpacked(registry, tmp_path / "out")
    assert (tmp_path / "out/config.json").read_bytes() == built.plugin.config
    rootfs = tmp_path / "out/rootfs"
    assert (rootfs / "bin/driver").read_bytes() == (source / "rootfs/bin/driver").read_bytes()
    assert stat.S_IMODE((rootfs / "bin/driver").stat().st_mode) == 0o4755
    assert stat.S_IMODE((rootfs / "empty").stat().st_mode) == 0o700
    assert (rootfs / "one").samefile(rootfs / "two")
    assert (rootfs / "outside").readlink() == Path("../../../../etc/passwd")
    assert (await packed(registry, recipe(tmp_path / "out"))).plugin == built.plugin
    assert folders_beside(tmp_path) == {"out"}


async def test_the_configuration_is_the_plugins_to_the_byte(registry: MemoryRegistry, tmp_path: Path) -> None:
    await held(registry, zipped(tar(entry("x", b"1"))))
    (tmp_path / "out").mkdir()  # an empty folder will do
    found = await unpacked(registry, tmp_path / "out")
    assert (tmp_path / "out/config.json").read_bytes() == CONFIG
    assert found.entries == 2


@pytest.mark.usefixtures("root")
async def test_owners_devices_and_attributes_come_back_as_root(registry: MemoryRegistry, tmp_path: Path) -> None:
    owner = {"uid": "1000", "gid": "70000"}
    capability = b"\1\0\0\2\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".decode()
    device = tarfile.TarInfo("null")
    device.type, device.devmajor, device.devminor, device.mode = tarfile.CHRTYPE, 1, 3, 0o666
    await held(
        registry,
        zipped(
            tar(
                entry(
                    "f", b"x", form=tarfile.PAX_FORMAT, pax={**owner, "SCHILY.xattr.security.capability": capability}
                ),
                entry("d", kind=tarfile.DIRTYPE, form=tarfile.PAX_FORMAT, pax=owner),
                device.tobuf(),
                entry("pipe", kind=tarfile.FIFOTYPE),
            )
        ),
    )
    found = await unpacked(registry, tmp_path / "out")
    rootfs = tmp_path / "out/rootfs"
    assert found.notes == ()
    assert [(path.stat().st_uid, path.stat().st_gid) for path in (rootfs / "f", rootfs / "d")] == [(1000, 70_000)] * 2
    assert os.getxattr(rootfs / "f", "security.capability") == capability.encode()
    assert (rootfs / "null").stat().st_rdev == os.makedev(1, 3)
    assert (rootfs / "pipe").is_fifo()


async def test_without_root_it_is_said_what_is_not_as_it_was(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tarfile.TarInfo("null")
    device.type = tarfile.BLKTYPE
    await held(registry, zipped(tar(device.tobuf(), entry("f", b"x", form=tarfile.PAX_FORMAT, pax={"uid": "5"}))))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = await unpacked(registry, tmp_path / "out")
    assert [note.partition(",")[0] for note in found.notes] == ["not run as root", "device nodes were left out"]
    assert not (tmp_path / "out/rootfs/null").exists()
    assert (tmp_path / "out/rootfs/f").stat().st_uid == os.getuid()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info.tobuf(tarfile.PAX_FORMAT)


ESCAPES = {
    "through-a-link": [link("a", "../../../outside"), entry("a/x", b"x")],
    "through-an-absolute-link": [link("a", "/"), entry("a/outside/x", b"x")],
    "over-a-link": [link("x", "../../outside/kept"), entry("x", b"x")],
    "hard-link-of-a-link": [link("a", "../../outside/kept"), link("b", "a", tarfile.LNKTYPE), entry("b", b"x")],
    "two-links": [link("a", "b/.."), link("b", "../.."), entry("a/outside/x", b"x")],
    "out": [entry("../outside/x", b"x")],
    "absolute": [entry("/outside/x", b"x")],
    "hard-link-out": [link("a", "../../outside/kept", tarfile.LNKTYPE)],
}


@pytest.mark.parametrize("content", ESCAPES.values(), ids=ESCAPES)
async def test_nothing_outside_of_the_folder_changes(
    registry: MemoryRegistry, tmp_path: Path, content: list[bytes]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    await held(registry, zipped(tar(*content)))
    try:
        await unpacked(registry, tmp_path / "out")
    except ManifestInvalid:
        assert folders_beside(tmp_path) == {"outside"}
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert ((outside / "kept").read_text(), (outside / "kept").stat().st_nlink) == ("kept", 1)


async def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    await held(registry, zipped(tar(entry("a", kind=tarfile.DIRTYPE), entry("a/b", b"b"), entry("c", b"c"))))
    enter = FolderBelow.enter

    def swapped(self: FolderBelow, path: str) -> int:
        if path == "a":
            (folder,) = tmp_path.glob(".out.*/rootfs")
            (folder / "a").rename(folder / "moved")
            (folder / "a").symlink_to(outside)
        return enter(self, path)

    monkeypatch.setattr(FolderBelow, "enter", swapped)
    with pytest.raises(MirrorError, match="rootfs/a/b cannot be written"):
        await unpacked(registry, tmp_path / "out")
    assert list(outside.iterdir()) == []
    assert folders_beside(tmp_path) == {"outside"}


async def test_long_paths_are_not_entered_for_each_name(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = "d/" * 500
    sources = [entry(f"{number}/{below}f", b"x", form=tarfile.PAX_FORMAT) for number in range(2)]
    links = [
        link(f"{number}/{below}{name}", f"{number}/{below}f", tarfile.LNKTYPE)
        for number in range(2)
        for name in range(50)
    ]
    links += [link(f"last/{name}", f"{name % 2}/{below}f", tarfile.LNKTYPE) for name in range(50)]
    folders = [entry(f"1/{below}n{number}/f", b"x", form=tarfile.PAX_FORMAT) for number in range(50)]
    await held(registry, zipped(tar(*sources, *links, *folders)))
    opened = 0
    really_open = os.open

    def counting(*args: Any, **kwargs: Any) -> int:
        nonlocal opened
        opened += 1
        return really_open(*args, **kwargs)

    monkeypatch.setattr(os, "open", counting)
    await unpacked(registry, tmp_path / "out")
    assert opened < 10_000  # opening every path from the root would take more than 100 000 calls
    rootfs = tmp_path / "out/rootfs"
    assert {path.name for path in rootfs.iterdir()} == {"0", "1", "last"}
    assert (rootfs / "last/0").stat().st_nlink == 1 + 50 + 25
    assert (rootfs / "last/0").samefile(rootfs / "0" / below / "49")
    extract.remove_folder(tmp_path / "out")


async def test_a_folder_that_holds_something_is_refused(registry: MemoryRegistry, tmp_path: Path) -> None:
    await held(registry, zipped(tar(entry("x"))))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    (tmp_path / "file").touch()
    for name, told in (("out", "is not empty"), ("file", "cannot be written")):
        with pytest.raises(ConfigurationFault, match=told):
            await unpacked(registry, tmp_path / name)
    assert folders_beside(tmp_path) == {"out", "file"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extract, "_write", full)


def gone_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryRegistry, "open_blob", lambda *_: (_ for _ in ()).throw(ManifestUnknown("gone")))


@pytest.mark.parametrize(("fault", "error"), [(full_disk, StorageFull), (gone_blob, ManifestUnknown)])
async def test_what_fails_leaves_nothing(
    registry: MemoryRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[pytest.MonkeyPatch], None],
    error: type[MirrorError],
) -> None:
    await held(registry, zipped(tar(entry("a", kind=tarfile.DIRTYPE), entry("a/b", b"b"))))
    fault(monkeypatch)
    with pytest.raises(error):
        await unpacked(registry, tmp_path / "out")
    assert folders_beside(tmp_path) == set()


async def test_cancelled_it_leaves_nothing(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(registry, zipped(tar(entry("a", b"a"), entry("b", b"b"))))
    loop = asyncio.get_running_loop()
    write = extract._write

    def cancelling(descriptor: int, content: bytes) -> None:
        loop.call_soon_threadsafe(task.cancel)
        write(descriptor, content)

    monkeypatch.setattr(extract, "_write", cancelling)
    task = asyncio.ensure_future(unpacked(registry, tmp_path / "out"))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert folders_beside(tmp_path) == set()


async def test_what_is_no_plugin_or_damaged_is_refused(registry: MemoryRegistry, tmp_path: Path) -> None:
    await hold(registry, REPOSITORY, [], [index()], "index")
    await held(registry, zipped(tar(entry("x", b"x")))[:-20])
    for target, told in ((Tag("index"), "is an index, not a plugin"), (TAG, "layer 1 ends in the middle")):
        with pytest.raises(ManifestInvalid, match=told):
            await unpacked(registry, tmp_path / "out", target)
    assert folders_beside(tmp_path) == set()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.lists(
        st.one_of(
            st.builds(entry, st.sampled_from(["a", "a/b", "b/../c", "../d", "/e"]), st.binary(max_size=9)),
            st.builds(link, st.sampled_from(["a", "b"]), st.sampled_from(["..", "/", "a", "../../outside"])),
            st.builds(link, st.just("h"), st.sampled_from(["a", "b", "../x"]), st.just(tarfile.LNKTYPE)),
        ),
        max_size=6,
    )
)
async def test_whatever_a_layer_holds_stays_inside(tmp_path: Path, content: list[bytes]) -> None:
    registry = MemoryRegistry()
    await held(registry, zipped(tar(*content)))
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    try:
        await unpacked(registry, place / "out")
    except ManifestInvalid:
        assert list(place.iterdir()) == []
        return
    assert [path.name for path in place.iterdir()] == ["out"]
    assert {path.name for path in (place / "out").iterdir()} == {"config.json", "rootfs"}
    extract.remove_folder(place / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"place", "spools"}
