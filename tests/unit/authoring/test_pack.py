"""Packed plugins: equal bytes for equal input from folders and images, and refused input."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.authoring.files import layer_writer
from mirror.authoring.pack import Packed, pack
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, MirrorError, RepositoryUnknown, StorageFull
from mirror.plugin.lint import manifest_checks
from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.registry.memory import MemoryRegistry, MemoryUpload
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness.saved_image import layout, save_docker, write_layout, write_layout_tar
from tests.support.layers import END, entry, tar
from tests.unit.authoring.conftest import CONFIG, REPOSITORY, TAG, packed, recipe, write_rootfs


async def layer_of(registry: MemoryRegistry, built: Packed) -> bytes:
    (layer,) = built.plugin.manifest.layers
    async with registry.open_blob(REPOSITORY, layer.digest) as blob:
        return b"".join([chunk async for chunk in blob])


def members(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as archive:
        return {info.name: info for info in archive}


async def test_a_plugin_is_one_that_every_engine_takes(registry: MemoryRegistry, source: Path) -> None:
    built = await packed(registry, recipe(source))
    manifest = await registry.get_manifest(REPOSITORY, TAG)
    assert manifest == built.plugin.manifest
    layer = await layer_of(registry, built)
    reader = LayerReader(len(layer), DEFAULT_LIMITS)
    reader.feed(layer)
    facts = reader.finish()
    config = built.plugin.config
    assert manifest_checks.check_plugin(manifest, len(config), config, {manifest.layers[0].digest: facts}) == ()
    assert json.loads(config) == {**CONFIG, "rootfs": {"type": "layers", "diff_ids": [str(facts.diff_id)]}}
    assert layer[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\x03"  # no name, no time
    assert (facts.tar_bytes, gzip.decompress(layer)[-1024:]) == (built.tar_bytes, END)


async def test_only_facts_that_a_reader_would_find_are_passed_on(
    registry: MemoryRegistry, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[Digest, LayerFacts] = {}
    destination = CopyDestination(registry, REPOSITORY, known.__setitem__)
    (built,) = await pack(recipe(source), destination, TAG, SilentProgress())
    assert [(digest, facts.tar_bytes) for digest, facts in known.items()] == [
        (built.plugin.manifest.layers[0].digest, built.tar_bytes)
    ]
    known.clear()
    # A reader may stop in the middle of a layer that is dense.
    monkeypatch.setattr(layer_writer, "ALLOWANCE_BYTES", 0)
    await pack(recipe(source), destination, TAG, SilentProgress())
    assert known == {}


class Expected(SilentProgress):
    """Records the totals that were announced."""

    def __init__(self) -> None:
        self.totals: list[int] = []

    def expect(self, total_bytes: int) -> None:
        self.totals.append(total_bytes)


@pytest.mark.parametrize(("measured", "totals"), [(False, []), (True, [3_000_004 + 1])])
async def test_the_size_of_a_folder_is_found_first_only_for_a_bar(
    registry: MemoryRegistry, source: Path, measured: bool, totals: list[int]
) -> None:
    progress = Expected()
    await pack(replace(recipe(source), measured=measured), CopyDestination(registry, REPOSITORY), TAG, progress)
    assert progress.totals == totals


async def test_the_layer_holds_what_the_folder_holds(registry: MemoryRegistry, source: Path) -> None:
    found = members(await layer_of(registry, await packed(registry, recipe(source))))
    assert list(found) == [
        ".",
        "bin",
        "bin/driver",
        "empty",
        "link",
        "länge",
        f"länge/{'x' * 120}",
        "one",
        "outside",
        "two",
    ]
    assert {(info.uid, info.gid, info.uname, info.gname, info.mtime) for info in found.values()} == {(0, 0, "", "", 0)}
    assert (found["bin/driver"].mode, found["bin/driver"].size) == (0o4755, 3_000_004)
    assert (found["outside"].issym(), found["outside"].linkname) == (True, "../../../../etc/passwd")
    assert (found["two"].islnk(), found["two"].linkname) == (True, "one")


async def test_the_same_input_gives_the_same_digest(registry: MemoryRegistry, source: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_rootfs(again / "rootfs", reverse=True)
    (again / "config.json").write_bytes((source / "config.json").read_bytes())
    for path in (again / "rootfs").rglob("*"):
        os.utime(path, (5, 10**9), follow_symlinks=False)
    first, second = await packed(registry, recipe(source)), await packed(registry, recipe(again))
    assert first.plugin == second.plugin
    (again / "rootfs/one").write_text("2")
    assert (await packed(registry, recipe(again))).plugin != first.plugin


async def test_a_time_that_is_not_later_than_what_is_said_is_kept(registry: MemoryRegistry, source: Path) -> None:
    os.utime(source / "rootfs/one", (5, 1000))
    made_of = recipe(source)
    later = type(made_of)(made_of.folder, None, {}, latest_seconds=2000, owners=False)
    found = members(await layer_of(registry, await packed(registry, later)))
    assert (found["one"].mtime, found["bin/driver"].mtime) == (1000, 2000)


@pytest.mark.usefixtures("root")
async def test_owners_devices_and_attributes_are_kept_as_root(registry: MemoryRegistry, source: Path) -> None:
    rootfs = source / "rootfs"
    os.chown(rootfs / "one", 1000, 70_000)
    os.mknod(rootfs / "null", 0o620 | 0o020000, os.makedev(1, 3))
    os.mkfifo(rootfs / "pipe")
    capability = b"\1\0\0\2\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    os.setxattr(rootfs / "one", "security.capability", capability)
    found = members(await layer_of(registry, await packed(registry, recipe(source, owners=True))))
    assert (found["one"].uid, found["one"].gid) == (1000, 70_000)
    assert (found["null"].ischr(), found["null"].devmajor, found["null"].devminor) == (True, 1, 3)
    assert found["pipe"].isfifo()
    value = found["one"].pax_headers["SCHILY.xattr.security.capability"]
    assert value.encode("utf-8", "surrogateescape") == capability
    without = members(await layer_of(registry, await packed(registry, recipe(source))))
    assert (without["one"].uid, without["one"].gid) == (0, 0)


async def test_sockets_are_left_out_with_a_word(
    registry: MemoryRegistry, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source / "rootfs")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.sock")
    built = await packed(registry, recipe(source, owners=True))
    assert built.notes == ("sockets were left out, such as s.sock: 1",)
    assert "s.sock" not in members(await layer_of(registry, built))


async def test_without_root_it_is_said_that_owners_are_not_kept(registry: MemoryRegistry, source: Path) -> None:
    assert "0:0" in (await packed(registry, recipe(source, owners=False))).notes[0]


async def test_a_placeholder_that_is_left_is_told(registry: MemoryRegistry, source: Path) -> None:
    (source / "config.json").unlink()
    (source / "config.template").write_text('{"Entrypoint": ["/bin/driver"], "WorkDir": "/__A__/%NAME%"}')
    (note,) = (await packed(registry, recipe(source, owners=True, A="a"))).notes
    assert note.startswith("WorkDir has '%NAME%', which looks like a placeholder")


LAYERS = [
    tar(
        entry("usr", kind=tarfile.DIRTYPE),
        entry("usr/a", b"a"),
        entry("usr/b", b"bb" * 2000),
        entry("lib", kind=tarfile.SYMTYPE, form=tarfile.PAX_FORMAT, pax={"linkpath": "usr"}),
    ),
    tar(entry("lib/c", b"ccc"), entry("usr/.wh.a")),
    tar(entry("d/e", b"e")),
]


async def test_every_form_of_an_image_gives_the_same_plugin(
    registry: MemoryRegistry, source: Path, tmp_path: Path
) -> None:
    files, plain = layout(LAYERS), layout(LAYERS, compressed=False, attested=False)
    images = [
        save_docker(LAYERS, tmp_path / "docker.tar"),
        write_layout(files, tmp_path / "folder"),
        write_layout_tar(files, tmp_path / "oci.tar"),
        write_layout_tar(plain, tmp_path / "plain.tar"),
    ]
    built = [await packed(registry, recipe(source, image)) for image in images]
    assert len({one.plugin.manifest.digest for one in built}) == 1
    assert list(members(await layer_of(registry, built[0]))) == [".", "d", "d/e", "lib", "usr", "usr/b", "usr/c"]


async def test_a_layer_that_older_engines_save_as_a_link_is_read(
    registry: MemoryRegistry, source: Path, tmp_path: Path
) -> None:
    twice = [LAYERS[0], LAYERS[1], LAYERS[0]]
    linked = save_docker(twice, tmp_path / "linked.tar", repeated=True)
    whole = save_docker(twice, tmp_path / "whole.tar")
    assert (await packed(registry, recipe(source, linked))).plugin == (
        await packed(registry, recipe(source, whole))
    ).plugin


def _without(files: dict[str, bytes], part: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.startswith(part)}


def _changed(files: dict[str, bytes], old: bytes, new: bytes) -> dict[str, bytes]:
    return {name: content.replace(old, new) for name, content in files.items()}


def harmful_images() -> dict[str, bytes]:
    """Image tars that cannot be packed, by the text of their error."""
    good = layout(LAYERS)

    def as_tar(files: dict[str, bytes]) -> bytes:
        return tar(*(entry(name, content) for name, content in files.items()))

    return {
        "is an OCI image layout without index.json": as_tar(_without(good, "index")),
        "is compressed with zstd; fix: decompress it with unzstd": b"\x28\xb5\x2f\xfd" + as_tar(good),
        "is damaged or truncated": gzip.compress(as_tar(good))[:-30],
        "is not a complete tar": as_tar(good)[:1200],
        "is a text, not a tar": b"x" * 2000,
        "refers to 'blobs/": as_tar({"index.json": good["index.json"]}),
        "index.json is not JSON": as_tar({**good, "index.json": b"{"}),
        "holds 0 images": as_tar({**good, "index.json": b'{"manifests":[]}'}),
        "names no configuration": tar(entry("manifest.json", b"[{},{}]")),
        "refers to 'c'": tar(entry("manifest.json", b'[{"Config":"c","Layers":[]}]')),
        "layer 1 does not match its digest": as_tar(
            _changed(layout(LAYERS, compressed=False), b"b" * 4000, b"x" * 4000)
        ),
        "leads out of the layer": as_tar(layout([tar(entry("../x", b"x"))])),
        "holds a damaged tar": as_tar(layout([LAYERS[0][:600] + b"x" * 3000])),
    }


async def test_harmful_images_are_refused_and_leave_nothing(
    registry: MemoryRegistry, source: Path, tmp_path: Path
) -> None:
    for number, (told, content) in enumerate(harmful_images().items()):
        image = tmp_path / f"{number}.tar"
        image.write_bytes(content)
        with pytest.raises(MirrorError) as refused:
            await packed(registry, recipe(source, image))
        assert told in str(refused.value)
    with pytest.raises(RepositoryUnknown):
        await registry.get_manifest(REPOSITORY, TAG)


FOLDERS = {
    "is not a folder": lambda folder: folder.rename(folder.with_name("away")),
    "has neither config.json nor config.template": lambda folder: (folder / "config.json").unlink(),
    "has no rootfs/": lambda folder: (folder / "rootfs").rename(folder / "files"),
    "config.json: plugin config is not JSON": lambda folder: (folder / "config.json").write_text("{"),
    "as a whiteout": lambda folder: (folder / "rootfs/.wh.x").touch(),
}


@pytest.mark.parametrize("told", FOLDERS)
async def test_folders_that_cannot_be_packed_are_refused(registry: MemoryRegistry, source: Path, told: str) -> None:
    FOLDERS[told](source)
    with pytest.raises((ConfigurationFault, ManifestInvalid)) as refused:
        await packed(registry, recipe(source))
    assert told in str(refused.value)
    with pytest.raises(RepositoryUnknown):
        await registry.get_manifest(REPOSITORY, TAG)


async def test_values_need_a_template_and_choose_it(registry: MemoryRegistry, source: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"no config\.template whose placeholders --set can fill"):
        await packed(registry, recipe(source, NAME="x"))
    (source / "config.template").write_text('## new\n{"Description": "__NAME__"}')
    assert b"x-unknown" in (await packed(registry, recipe(source))).plugin.config
    assert json.loads((await packed(registry, recipe(source, NAME="x"))).plugin.config)["Description"] == "x"


async def test_what_a_full_disk_interrupts_is_not_tagged(
    registry: MemoryRegistry, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_self: MemoryUpload, _digest: Digest) -> None:
        raise StorageFull("no space")

    monkeypatch.setattr(MemoryUpload, "commit", full)
    with pytest.raises(StorageFull):
        await packed(registry, recipe(source))
    with pytest.raises(RepositoryUnknown):
        await registry.get_manifest(REPOSITORY, TAG)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=3000), cut=st.integers(0, 3000), data=st.data())
async def test_whatever_an_image_file_holds_it_is_packed_or_refused(
    source: Path, tmp_path: Path, content: bytes, cut: int, data: st.DataObject
) -> None:
    good = write_layout_tar(layout(LAYERS), tmp_path / "good.tar").read_bytes()
    at = data.draw(st.integers(0, len(good)))
    image = tmp_path / "any.tar"
    image.write_bytes(good[:at] + content + good[at + cut :])
    try:
        built = await packed(MemoryRegistry(), recipe(source, image))
    except MirrorError:
        return
    assert built.plugin.manifest.is_plugin
