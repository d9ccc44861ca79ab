"""Inputs of ``pack --rootfs``: every form gives the same plugin, and other files are refused by their kind."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.authoring.files import layer_sources, saved_image, spooled_input
from mirror.authoring.files.file_kind import describe_file
from mirror.authoring.files.layer_sources import Flattening
from mirror.authoring.files.rootfs_input import open_rootfs
from mirror.authoring.files.spooled_input import STANDARD_INPUT
from mirror.authoring.pack import Packed, Recipe, pack
from mirror.oci import Digest, Tag
from mirror.oci.errors import ConfigurationFault, ManifestInvalid, MirrorError
from mirror.plugin.rootfs.layer_limits import COMMAND_LIMITS
from mirror.plugin.rootfs.platform import Platform
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness.saved_image import layout, save_docker, write_layout, write_layout_tar
from tests.support.layers import entry, tar
from tests.unit.authoring.conftest import CONFIG, REPOSITORY, TAG, packed, recipe

PROGRAM = b"\x7fELF" + bytes(5000)
AMD64, ARM64, ARMV7 = (Platform.parse(text) for text in ("linux/amd64", "linux/arm64", "linux/arm/v7"))


def root_tar(program: bytes = PROGRAM) -> bytes:
    """A root filesystem as ``docker export`` writes it: one tar, with its entries in the order of a walk."""
    return tar(
        entry("bin", kind=tarfile.DIRTYPE, mode=0o755),
        entry("bin/driver", program, mode=0o755),
        entry("etc", kind=tarfile.DIRTYPE, mode=0o755),
        entry("etc/issue", b"hello"),
    )


def write_root(folder: Path) -> Path:
    """The same root filesystem in a folder."""
    (folder / "bin").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "bin/driver").write_bytes(PROGRAM)
    (folder / "etc/issue").write_bytes(b"hello")
    for path, mode in ((".", 0o755), ("bin", 0o755), ("etc", 0o755), ("bin/driver", 0o755), ("etc/issue", 0o644)):
        (folder / path).chmod(mode)
    return folder


def write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def skopeo_dir(folder: Path) -> Path:
    """The same root filesystem as ``skopeo copy … dir:FOLDER`` writes it."""
    folder.mkdir()
    for name, content in layout([root_tar()], attested=False).items():
        if name.startswith("blobs/"):
            is_manifest = b'"config":{"mediaType"' in content
            (folder / ("manifest.json" if is_manifest else Path(name).name)).write_bytes(content)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    return folder


def several(platforms: Mapping[str, bytes], *, without: str = "") -> dict[str, bytes]:
    """An OCI layout as buildx writes it for several platforms: one index, with an attestation for each image.

    Args:
        platforms: the tar of the root filesystem for each platform.
        without: platform whose blobs are missing, as an engine saves an image that it has for another platform only.
    """
    files: dict[str, bytes] = {}
    members = []
    for text, content in platforms.items():
        one = layout([content])
        names = text.split("/")
        (outer,) = json.loads(one["index.json"])["manifests"]
        inner = json.loads(one[blob(outer)])["manifests"]
        inner[0]["platform"] = dict(zip(("os", "architecture", "variant"), names, strict=False))
        members += inner
        if text != without:
            files |= {name: content for name, content in one.items() if name.startswith("blobs/")}
    index = json.dumps({"schemaVersion": 2, "manifests": members}).encode()
    digest = Digest.of(index)
    files[f"blobs/sha256/{digest.hex}"] = index
    top = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": str(digest), "size": len(index)}
    return {**files, "oci-layout": b"{}", "index.json": json.dumps({"manifests": [top]}).encode()}


def blob(descriptor: Mapping[str, str]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


FORMS: dict[str, Callable[[Path], Path]] = {
    "a folder": lambda at: write_root(at / "root"),
    "docker export": lambda at: write(at / "root.tar", root_tar()),
    "docker export | gzip": lambda at: write(at / "root.tar.gz", gzip.compress(root_tar())),
    "a tar in bzip2": lambda at: write(at / "root.tbz", bz2.compress(root_tar())),
    "a tar in xz": lambda at: write(at / "root.txz", lzma.compress(root_tar())),
    "a tar in two members of gzip": lambda at: write(
        at / "two.gz", gzip.compress(root_tar()[:700]) + gzip.compress(root_tar()[700:])
    ),
    "names that begin with ./": lambda at: write(at / "dot.tar", dotted(root_tar())),
    "docker save": lambda at: save_docker([root_tar()], at / "saved.tar"),
    "docker save | gzip": lambda at: write(
        at / "saved.tgz", gzip.compress(save_docker([root_tar()], at / "s.tar").read_bytes())
    ),
    "buildx --output type=oci": lambda at: write_layout_tar(layout([root_tar()]), at / "oci.tar"),
    "an OCI layout": lambda at: write_layout(layout([root_tar()]), at / "oci"),
    "skopeo copy dir:": lambda at: skopeo_dir(at / "dir"),
    "one of two platforms is there": lambda at: write_layout_tar(
        several({"linux/amd64": root_tar(), "linux/arm64": root_tar(b"other")}, without="linux/arm64"), at / "one.tar"
    ),
}


def dotted(content: bytes) -> bytes:
    """Return a tar whose names begin with ``./``, as ``tar -C DIR -c .`` writes them."""
    told = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=told, mode="w") as new:
        for info in old:
            data = old.extractfile(info) if info.isfile() else None
            info.name = f"./{info.name}"
            new.addfile(info, data)
    return told.getvalue()


async def test_every_form_gives_the_same_plugin(registry: MemoryRegistry, source: Path, tmp_path: Path) -> None:
    digests = {}
    for number, (name, make) in enumerate(FORMS.items()):
        (at := tmp_path / str(number)).mkdir()
        digests[name] = (await packed(registry, recipe(source, make(at)))).plugin.manifest.digest
    assert len(set(digests.values())) == 1, digests


@pytest.fixture
def standard_input() -> Iterator[int]:
    """The end of a pipe whose other end is the standard input of this process."""
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    yield writing
    os.dup2(before, 0)
    for descriptor in (reading, before):
        os.close(descriptor)


async def test_a_tar_is_read_from_the_standard_input(
    registry: MemoryRegistry, source: Path, tmp_path: Path, standard_input: int
) -> None:
    def feed() -> None:
        with os.fdopen(standard_input, "wb") as stream:
            stream.write(gzip.compress(root_tar()))

    feeder = threading.Thread(target=feed)
    feeder.start()
    piped = await packed(registry, recipe(source, STANDARD_INPUT))
    feeder.join()
    assert piped.plugin == (await packed(registry, recipe(source, write(tmp_path / "x", root_tar())))).plugin


PLATFORMS = {"linux/amd64": root_tar(), "linux/arm64": root_tar(b"arm64"), "linux/arm/v7": root_tar(b"arm")}


async def built(registry: MemoryRegistry, source: Path, rootfs: Path, *platforms: Platform) -> tuple[Packed, ...]:
    made_of = Recipe(source, rootfs, {}, latest_seconds=0, owners=False, platforms=platforms)
    return await pack(made_of, CopyDestination(registry, REPOSITORY), TAG, SilentProgress())


async def test_several_platforms_get_a_tag_each(registry: MemoryRegistry, source: Path, tmp_path: Path) -> None:
    file = write_layout_tar(several(PLATFORMS), tmp_path / "all.tar")
    plugins = await built(registry, source, file, AMD64, ARMV7)
    assert [str(one.tag) for one in plugins] == ["1.0-amd64", "1.0-arm-v7"]
    for one in plugins:
        assert (await registry.get_manifest(REPOSITORY, one.tag)) == one.plugin.manifest
    alone = [
        (await packed(registry, recipe(source, write(tmp_path / "one.tar", PLATFORMS[str(platform)])))).plugin
        for platform in (AMD64, ARMV7)
    ]
    assert [one.plugin for one in plugins] == alone


async def test_one_platform_of_several_keeps_the_tag(registry: MemoryRegistry, source: Path, tmp_path: Path) -> None:
    file = write_layout_tar(several(PLATFORMS), tmp_path / "all.tar")
    (one,) = await built(registry, source, file, Platform.parse("linux/aarch64"))
    assert one.tag == TAG
    folders = tmp_path / "local"
    for platform in ("linux_amd64", "linux_arm64", "linux_arm_v7"):
        write_root(folders / platform)
    (folders / "linux_arm64/bin/driver").write_bytes(b"arm64")
    (again,) = await built(registry, source, folders, ARM64)
    assert again.plugin == one.plugin


@pytest.mark.parametrize("platforms", [[ARM64], [AMD64, ARM64]])
async def test_rootfs_may_have_a_folder_for_each_platform(
    registry: MemoryRegistry, tmp_path: Path, platforms: list[Platform]
) -> None:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin/config.json").write_text(json.dumps(CONFIG))
    for name in ("linux_amd64", "linux_arm64"):
        write_root(tmp_path / "plugin/rootfs" / name)
        (tmp_path / "plugin/rootfs" / name / "etc/issue").write_text(name)
    found = Recipe(tmp_path / "plugin", None, {}, latest_seconds=0, owners=False, platforms=tuple(platforms))
    destination = CopyDestination(registry, REPOSITORY)
    plugins = await pack(found, destination, TAG, SilentProgress())
    alone = replace(found, rootfs=tmp_path / "plugin/rootfs/linux_arm64", platforms=())
    assert plugins[-1].plugin == (await pack(alone, destination, TAG, SilentProgress()))[0].plugin


async def test_no_plugin_is_stored_if_a_platform_is_missing(
    registry: MemoryRegistry, source: Path, tmp_path: Path
) -> None:
    file = write_layout_tar(several(PLATFORMS), tmp_path / "all.tar")
    with pytest.raises(ConfigurationFault, match="no image for linux/s390x, only for linux/amd64, linux/arm64, linux/"):
        await built(registry, source, file, AMD64, Platform.parse("linux/s390x"))
    with pytest.raises(MirrorError):
        await registry.get_manifest(REPOSITORY, Tag("1.0-amd64"))


def context(at: Path) -> Path:
    (at / "x").mkdir()
    (at / "x/Dockerfile").write_text("FROM scratch")
    return at / "x"


def plugin_folder(at: Path) -> Path:
    write_root(at / "x/rootfs")
    (at / "x/config.json").write_text("{}")
    return at / "x"


def empty(at: Path) -> Path:
    (at / "x").mkdir()
    return at / "x"


def artifact(at: Path) -> Path:
    return write_layout_tar(layout([root_tar()], config_type="application/vnd.cncf.helm.config.v1+json"), at / "x.tar")


def two_images(at: Path) -> Path:
    saved = json.dumps([{"Config": "c", "RepoTags": [f"a:{number}"], "Layers": ["l"]} for number in (1, 2)])
    return write(at / "x.tar", tar(entry("manifest.json", saved.encode()), entry("c", b"{}"), entry("l", root_tar())))


def zstd_layer(at: Path) -> Path:
    return write_layout_tar(
        layout([root_tar()], layer_type="application/vnd.oci.image.layer.v1.tar+zstd"), at / "x.tar"
    )


def longer_layer(at: Path) -> Path:
    files = layout([root_tar()])
    (layer,) = (name for name, content in files.items() if content.startswith(b"\x1f\x8b"))
    return write_layout_tar({**files, layer: files[layer] + b"x"}, at / "x.tar")


def tar_of_platforms(at: Path) -> Path:
    return write(at / "x.tar", tar(entry("linux_amd64/bin/x"), entry("linux_arm64/bin/x")))


REFUSED: dict[str, Callable[[Path], Path]] = {
    "cannot be read: No such file": lambda at: at / "x",
    "is empty, not a tar": lambda at: write(at / "x", b""),
    "is a program (ELF), not a tar": lambda at: write(at / "x", PROGRAM),
    "is a script, not a tar": lambda at: write(at / "x", b"#!/bin/sh\n"),
    "is a zip archive, not a tar": lambda at: write(at / "x", b"PK\x03\x04" + bytes(99)),
    "is a squashfs file system, not a tar": lambda at: write(at / "x", b"hsqs" + bytes(999)),
    "is a CD image (ISO 9660), not a tar": lambda at: write(at / "x", b"\1" * 0x8001 + b"CD001" + bytes(5)),
    "is an ext file system, not a tar": lambda at: write(at / "x", b"\1" * 0x438 + b"\x53\xef" + bytes(5000)),
    "is a Dockerfile, not a tar": lambda at: write(at / "x", b"FROM alpine:3.5\nRUN true\n"),
    "is a JSON document, not a tar": lambda at: write(at / "x", b' {"a": 1}'),
    "is other data, not a tar": lambda at: write(at / "x", bytes(range(256)) * 9),
    "is damaged or truncated": lambda at: write(at / "x", gzip.compress(root_tar())[:-20]),
    "is not a complete tar": lambda at: write(at / "x", root_tar()[:1000]),
    "is compressed with zstd; fix: decompress it with unzstd": lambda at: write(at / "x", b"\x28\xb5\x2f\xfd"),
    "is compressed with zstd; fix: write the image again with": zstd_layer,
    "bytes instead of": longer_layer,
    "holds a folder for each of linux/amd64, linux/arm64; fix: build with --output type=oci": tar_of_platforms,
    "holds more than 1000 images": lambda at: write(
        at / "x", tar(entry("manifest.json", json.dumps([{}] * 1001).encode()))
    ),
    "holds no files": empty,
    "is the context of a build, with a Dockerfile": context,
    "is the folder of a plugin, with its files below rootfs/; fix: give rootfs/ itself": plugin_folder,
    "holds an artifact of type application/vnd.cncf.helm": artifact,
    "holds 2 images: a:1, a:2; fix: save one image by itself": two_images,
    "'docker save' before 1.10": lambda at: write(at / "x", tar(entry("repositories", b"{}"), entry("a/layer.tar"))),
    "holds images for 3 platforms: linux/amd64, linux/arm64, linux/arm/v7; fix: choose with --platform": lambda at: (
        write_layout_tar(several(PLATFORMS), at / "x")
    ),
}


@pytest.mark.parametrize("told", REFUSED)
def test_other_files_are_refused_by_their_kind(tmp_path: Path, told: str) -> None:
    with ExitStack() as stack, pytest.raises(MirrorError) as refused:
        open_rootfs(REFUSED[told](tmp_path), [], stack)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_root_filesystem_may_hold_files_named_like_those_of_an_image(tmp_path: Path) -> None:
    root = write_root(tmp_path / "root")
    for name in ("index.json", "manifest.json", "oci-layout"):
        (root / name).write_text("[]")
    with ExitStack() as stack:
        assert open_rootfs(root, [], stack) == [root]


def test_a_root_filesystem_of_unknown_platform_is_not_packed_for_two(tmp_path: Path) -> None:
    file = write(tmp_path / "x.tar", root_tar())
    with ExitStack() as stack, pytest.raises(ConfigurationFault, match="the files of one platform only"):
        open_rootfs(file, [AMD64, ARM64], stack)


def test_a_layout_of_too_many_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_image, "_MOST_IMAGES", 2)
    file = write_layout_tar(several(PLATFORMS), tmp_path / "x")
    with ExitStack() as stack, pytest.raises(ConfigurationFault, match="holds more than 2 images"):
        open_rootfs(file, (), stack)


def test_compressed_input_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooled_input, "COMMAND_LIMITS", replace(COMMAND_LIMITS, layer_bytes=5000))
    with ExitStack() as stack, pytest.raises(ConfigurationFault, match="unpacks to"):
        open_rootfs(write(tmp_path / "x", gzip.compress(root_tar())), (), stack)


def test_a_terminal_is_refused() -> None:
    outer, terminal = os.openpty()
    before = os.dup(0)
    os.dup2(terminal, 0)
    os.write(outer, b"\x04")  # end of input, so that nobody waits for more
    try:
        with ExitStack() as stack, pytest.raises(ConfigurationFault, match="is a terminal"):
            open_rootfs(STANDARD_INPUT, (), stack)
    finally:
        os.dup2(before, 0)
        for descriptor in (before, terminal, outer):
            os.close(descriptor)


@example(b"")
@example(b"SIF_MAGIC")
@given(st.binary(max_size=3000))
def test_any_content_has_a_kind(content: bytes) -> None:
    assert describe_file(content).isprintable()


@given(st.sampled_from(list(FORMS)), st.integers(0, 6000), st.binary(max_size=8))
def test_damaged_input_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, form: str, at: int, other: bytes
) -> None:
    place = FORMS[form](tmp_path_factory.mktemp("any"))
    if place.is_file():
        content = place.read_bytes()
        place.write_bytes(content[:at] + other + content[at + len(other) :])
    with ExitStack() as stack:
        try:
            assert len(open_rootfs(place, [], stack)) == 1
        except MirrorError:
            return


@pytest.mark.parametrize("outside", ["../secret.tar", "/secret.tar", "link.tar", "folder/secret.tar", "circle", "pipe"])
def test_an_image_in_a_folder_does_not_lead_out_of_it(tmp_path: Path, outside: str) -> None:
    write(tmp_path / "secret.tar", root_tar())
    image = tmp_path / "image"
    image.mkdir()
    (image / "link.tar").symlink_to(tmp_path / "secret.tar")
    (image / "folder").symlink_to(tmp_path)
    (image / "circle").symlink_to("circle")
    os.mkfifo(image / "pipe")
    name = str(tmp_path / "secret.tar") if outside.startswith("/") else outside
    (image / "config.json").write_text("{}")
    (image / "manifest.json").write_text(json.dumps([{"Config": "config.json", "Layers": [name]}]))
    with ExitStack() as stack, pytest.raises(ManifestInvalid, match="but does not hold it"):
        open_rootfs(image, (), stack)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a" * 300])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps([{"Config": name, "Layers": ["x"]}]))
    with ExitStack() as stack, pytest.raises(MirrorError):
        open_rootfs(tmp_path, (), stack)


def test_links_inside_of_an_image_in_a_folder_are_followed(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    write(image / "root.tar", root_tar())
    (image / "layer.tar").symlink_to("root.tar")
    (image / "config.json").write_text("{}")
    (image / "manifest.json").write_text('[{"Config": "config.json", "Layers": ["layer.tar"]}]')
    (tmp_path / "linked").symlink_to(image)
    with ExitStack() as stack:
        (found,) = open_rootfs(tmp_path / "linked", (), stack)
        assert isinstance(found, list)
        assert b"".join(found[0].span.chunks()) == root_tar()


def test_indexes_that_list_each_other_many_times_are_read_once(tmp_path: Path) -> None:
    files = several({"linux/amd64": root_tar()})
    top = json.loads(files["index.json"])["manifests"][0]
    for _ in range(3):
        content = json.dumps({"schemaVersion": 2, "manifests": [top] * 1000}).encode()
        digest = Digest.of(content)
        files[f"blobs/sha256/{digest.hex}"] = content
        top = {**top, "digest": str(digest), "size": len(content)}
    files["index.json"] = json.dumps({"manifests": [top] * 1000}).encode()
    write_layout(files, tmp_path / "image")
    with ExitStack() as stack:
        (found,) = open_rootfs(tmp_path / "image", (), stack)
    assert isinstance(found, list)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_devices_do_not_fill_the_disk(device: str) -> None:
    with ExitStack() as stack, pytest.raises(ConfigurationFault, match="is a device"):
        open_rootfs(Path(device), (), stack)


def test_the_folder_of_a_platform_is_no_link(tmp_path: Path) -> None:
    write_root(tmp_path / "root")
    (tmp_path / "built").mkdir()
    (tmp_path / "built/linux_amd64").symlink_to(tmp_path / "root")
    with ExitStack() as stack, pytest.raises(ConfigurationFault, match="is a symbolic link"):
        open_rootfs(tmp_path / "built", (), stack)


def test_layers_are_limited_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer has 4 entries, so the second reaches the limit and the third exceeds it."""
    monkeypatch.setattr(layer_sources, "COMMAND_LIMITS", replace(COMMAND_LIMITS, entries=8))
    image = save_docker([root_tar()] * 3, tmp_path / "image.tar", repeated=True)
    with ExitStack() as stack:
        (found,) = open_rootfs(image, (), stack)
        assert isinstance(found, list)
        with pytest.raises(ManifestInvalid, match="layer 3 has more entries than the limit"):
            list(Flattening(found, stack).steps())
