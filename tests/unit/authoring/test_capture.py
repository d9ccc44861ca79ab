"""Plugins captured from the data roots of engines, in the layout of each engine generation."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror.authoring.capture import Captured, capture
from mirror.authoring.files.folder_tree import FolderWalk
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault, DigestInvalid, ManifestInvalid, NotFound
from mirror.oci.media_types import OCI_MANIFEST
from mirror.plugin.build.engine_record import manifest_as_pushed
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.tree import TreeEntry
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.layers import entry, tar, zipped
from tests.unit.authoring.conftest import REPOSITORY, TAG

CONFIG = b'{"Entrypoint":["/driver"],"Env":[{"Name":"role","Value":"a","Settable":["value"]}]}\n'
LAYER = zipped(tar(entry("driver", b"\x7fELF")))
ID = "cd" * 32


class Host:
    """The data root of an engine with one installed plugin."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "plugins/storage/blobs/sha256"
        self.blobs.mkdir(parents=True)
        (root / "plugins/tmp").mkdir()

    def keep(self, content: bytes) -> str:
        digest = Digest.of(content)
        (self.blobs / digest.hex).write_bytes(content)
        return str(digest)

    def install(
        self,
        *,
        name: str = "acme/driver:1",
        plugin_id: str = ID,
        enabled: bool = False,
        settings: dict[str, Any] | None = None,
        config: bytes = CONFIG,
        **record: Any,
    ) -> Path:
        folder = self.root / "plugins" / plugin_id
        (folder / "rootfs").mkdir(parents=True)
        plugin = {
            "Id": plugin_id,
            "Name": name,
            "Enabled": enabled,
            "Config": {**json.loads(config), "DockerVersion": "x", "rootfs": {"diff_ids": ["sha256:" + "0" * 64]}},
            "Settings": {"Env": ["role=b"], "Args": [], "Mounts": [], "Devices": []} | (settings or {}),
        }
        (folder / "config.json").write_text(json.dumps({"plugin": plugin, "Rootfs": "/somewhere", **record}))
        return folder / "rootfs"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "docker")


async def captured(host: Host, registry: MemoryRegistry, plugin: str = "acme/driver:1") -> Captured:
    return await capture(host.root, plugin, CopyDestination(registry, REPOSITORY), TAG, SilentProgress())


async def test_what_an_engine_since_20_10_pulled_is_copied_with_its_manifest(
    host: Host, registry: MemoryRegistry
) -> None:
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.plugin.v1+json",
            "digest": host.keep(CONFIG),
            "size": len(CONFIG),
        },
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": host.keep(LAYER), "size": len(LAYER)}
        ],
    }
    content = json.dumps(body, indent=2).encode()
    host.install(Manifest=host.keep(content), Config=str(Digest.of(CONFIG)), Blobsums=None)
    found = await captured(host, registry)
    assert (found.verbatim, found.notes, found.settings) == (True, (), ("role=b",))
    assert (await registry.get_manifest(REPOSITORY, TAG)).content == content


async def test_what_an_engine_created_keeps_the_manifest_that_it_had(host: Host, registry: MemoryRegistry) -> None:
    manifest = manifest_as_pushed((Digest.of(CONFIG), len(CONFIG)), [(Digest.of(LAYER), len(LAYER))])
    host.install(Manifest=str(Digest.of(manifest)), Config=host.keep(CONFIG), Blobsums=[host.keep(LAYER)])
    found = await captured(host, registry)
    assert (found.verbatim, found.notes) == (True, ())
    assert (await registry.get_manifest(REPOSITORY, TAG)).content == manifest


async def test_what_an_engine_before_20_10_installed_gets_a_manifest_around_its_blobs(
    host: Host, registry: MemoryRegistry
) -> None:
    host.install(Config=host.keep(CONFIG), Blobsums=[host.keep(LAYER)])
    found = await captured(host, registry)
    assert found.verbatim
    assert "manifest" in found.notes[0]
    manifest = await registry.get_manifest(REPOSITORY, TAG)
    assert manifest.config is not None
    assert [blob.digest for blob in manifest.blobs] == [Digest.of(CONFIG), Digest.of(LAYER)]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("gone", ["layer", "list", "everything"])
async def test_what_has_lost_blobs_is_built_of_its_files(host: Host, registry: MemoryRegistry, gone: str) -> None:
    config, layer = host.keep(CONFIG), host.keep(LAYER)
    rootfs = host.install(Config=config, Manifest=str(Digest.of(b"m")), Blobsums=None if gone == "list" else [layer])
    if gone != "list":
        (host.blobs / Digest.of(LAYER).hex).unlink()
    if gone == "everything":
        (host.blobs / Digest.of(CONFIG).hex).unlink()
    (rootfs / "driver").write_bytes(b"\x7fELF")
    os.chown(rootfs / "driver", 5, 6)
    (rootfs / ".dockerenv").touch(0o755)
    (rootfs / "proc").mkdir()
    found = await captured(host, registry)
    assert not found.verbatim
    manifest = await registry.get_manifest(REPOSITORY, TAG)
    assert manifest.config is not None
    async with registry.open_blob(REPOSITORY, manifest.config.digest) as blob:
        content = b"".join([chunk async for chunk in blob])
    assert PluginConfig.parse(content).docker_version == ""
    assert json.loads(content)["Env"] == json.loads(CONFIG)["Env"]
    async with registry.open_blob(REPOSITORY, manifest.layers[0].digest) as blob:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(b"".join([chunk async for chunk in blob])))) as archive:
            assert [(info.name, info.uid, info.gid) for info in archive] == [(".", 0, 0), ("driver", 5, 6)]


#: As published, and as the record of an engine holds it after ``data=/home dev=/dev/zero`` were set.
PUBLISHED = json.dumps(
    {
        "Entrypoint": ["/driver"],
        "Linux": {"Devices": [{"Name": "dev", "Path": "/dev/null", "Settable": ["path"]}]},
        "Mounts": [{"Name": "data", "Source": "/srv", "Destination": "/d", "Settable": ["source"]}],
    }
).encode()
SET = PUBLISHED.replace(b"/dev/null", b"/dev/zero").replace(b"/srv", b"/home")
SETTINGS = {"Env": ["A=1"], "Devices": [{"Name": "dev", "Path": "/dev/zero"}]}


async def config_of(registry: MemoryRegistry) -> PluginConfig:
    manifest = await registry.get_manifest(REPOSITORY, TAG)
    assert manifest.config is not None
    async with registry.open_blob(REPOSITORY, manifest.config.digest) as blob:
        return PluginConfig.parse(b"".join([chunk async for chunk in blob]))


@pytest.mark.usefixtures("root")
async def test_defaults_are_those_of_the_published_config(host: Host, registry: MemoryRegistry) -> None:
    rootfs = host.install(config=SET, settings=SETTINGS, Config=host.keep(PUBLISHED), Blobsums=None)
    (rootfs / "driver").touch()
    found = await captured(host, registry)
    assert (found.verbatim, found.settings) == (False, ("data=/home", "dev=/dev/zero"))
    config = await config_of(registry)
    assert (config.mounts[0].source, config.devices[0].path) == ("/srv", "/dev/null")
    assert found.notes[1].endswith("does not accept as settings: env A")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("content", [b"", PUBLISHED.replace(b"/driver", b"/older")], ids=["gone", "of the old version"])
async def test_settings_that_cannot_be_told_from_defaults_are_a_note(
    host: Host, registry: MemoryRegistry, content: bytes
) -> None:
    digest = host.keep(content) if content else str(Digest.of(content))
    # The layer of the old version is there too, and must not be taken for that of the plugin.
    rootfs = host.install(config=SET, settings=SETTINGS, Config=digest, Blobsums=[host.keep(LAYER)])
    (rootfs / "driver").touch()
    found = await captured(host, registry)
    assert (found.verbatim, found.settings) == (False, ())
    assert "the values of data, dev on this host are the defaults and privileges of the copy" in found.notes[1]
    assert (await config_of(registry)).mounts[0].source == "/home"


@pytest.mark.usefixtures("root")
async def test_files_that_change_meanwhile_are_captured(
    host: Host, registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    rootfs = host.install(Config=str(Digest.of(b"x")), Blobsums=None)
    for name in ("grows", "shrinks", "vanishes", "vanishes.too"):
        (rootfs / name).write_text("12345")
    (rootfs / "vanishes.link").hardlink_to(rootfs / "vanishes")
    listing = FolderWalk.packed_entries

    def and_then(walk: FolderWalk) -> Iterator[TreeEntry]:
        yield from listing(walk)
        (rootfs / "grows").write_text("123456789")
        (rootfs / "shrinks").write_text("1")
        (rootfs / "vanishes").unlink()
        (rootfs / "vanishes.too").unlink()
        (rootfs / "vanishes.too").symlink_to("grows")

    monkeypatch.setattr(FolderWalk, "packed_entries", and_then)
    found = await captured(host, registry)
    async with registry.open_blob(REPOSITORY, found.manifest.layers[0].digest) as blob:
        content = io.BytesIO(gzip.decompress(b"".join([chunk async for chunk in blob])))
    with tarfile.open(fileobj=content) as archive:
        held = {info.name: extracted.read() for info in archive if (extracted := archive.extractfile(info))}
    assert held == {"grows": b"123456789", "shrinks": b"1"}
    assert "not in the copy: vanishes, vanishes.link, vanishes.too" in "".join(found.notes)


@pytest.mark.usefixtures("root")
async def test_links_in_a_plugins_files_are_not_followed(host: Host, registry: MemoryRegistry, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    rootfs = host.install(Config=str(Digest.of(b"x")), Blobsums=None)
    (rootfs / "driver").symlink_to(tmp_path / "secret")
    (rootfs / "folder").symlink_to(tmp_path)
    found = await captured(host, registry)
    async with registry.open_blob(REPOSITORY, found.manifest.layers[0].digest) as blob:
        assert blob.size_bytes < 300


async def test_a_plugin_is_found_by_name_or_id(host: Host, registry: MemoryRegistry) -> None:
    record = {"Config": host.keep(CONFIG), "Blobsums": [host.keep(LAYER)]}
    host.install(name="driver:latest", plugin_id="aa" * 32, **record)
    host.install(name="driver:2", plugin_id="ab" * 32, **record)
    broken = host.root / "plugins" / ("ac" * 32)
    broken.mkdir()
    (broken / "config.json").write_text("{")
    assert (await captured(host, registry, "driver")).record.name == "driver:latest"
    assert (await captured(host, registry, "abab")).record.name == "driver:2"
    for plugin in ("a", "aa", "nothing", "driver:3", "aaab"):
        with pytest.raises(NotFound, match=r"\(plugins: driver:2, driver:latest\)"):
            await captured(host, registry, plugin)


async def test_what_is_no_data_root_is_told(registry: MemoryRegistry, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="plugins cannot be read: No such file"):
        await capture(tmp_path, "x", CopyDestination(registry, REPOSITORY), TAG, SilentProgress())


async def test_a_blob_that_is_damaged_is_not_taken(host: Host, registry: MemoryRegistry) -> None:
    host.install(Config=host.keep(CONFIG), Blobsums=[host.keep(LAYER)])
    (host.blobs / Digest.of(LAYER).hex).write_bytes(LAYER[:-1] + b"x")
    with pytest.raises(DigestInvalid):
        await captured(host, registry)


@pytest.mark.usefixtures("root")
async def test_a_plugin_without_files_is_refused(host: Host, registry: MemoryRegistry) -> None:
    host.install(Config=str(Digest.of(b"x")), Blobsums=None)
    with pytest.raises(ManifestInvalid, match="holds no files"):
        await captured(host, registry)
