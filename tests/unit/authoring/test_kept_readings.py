"""Plugins that were read before: their layers are not opened again, and nothing that is shown is of before."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest

from mirror.authoring import plugin_content
from mirror.authoring.plugin_content import code_digest, read_content
from mirror.oci import Descriptor, Digest, Manifest, Repository, media_types
from mirror.oci.errors import BlobUnknown, StorageFull
from mirror.plugin import reading, rootfs
from mirror.plugin.lint.plugin_difference import compare_plugins
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.plugin.reading import layers_reading
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.plugin.rootfs.platform import Platform
from mirror.records.readings import Readings
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Blob, Registry
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.ranges import RangeRequest
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import CONFIG, LAYER, NAME, TAG, put_plugin

FOLDERS = Path(__file__).parents[1] / "store" / "folders"
UPPER = zipped(tar(entry("bin/.wh.absent"), entry("etc/x", b"1")))


class Counted(DelegatingRegistry):
    """Counts the layers that are opened. The config is opened each time."""

    def __init__(self, inner: Registry, manifest: Manifest) -> None:
        super().__init__(inner)
        self.opened = 0
        self._layers = {layer.digest for layer in manifest.layers}

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        self.opened += digest in self._layers
        return super().open_blob(repository, digest, part, size_bytes)


class Look:
    """One look at a plugin, from an own instance of the store."""

    def __init__(self, store: Store, registry: Counted, readings: Readings) -> None:
        self.store = store
        self._registry = registry
        self._readings = readings

    async def content(self, manifest: Manifest, limits: LayerLimits = DEFAULT_LIMITS) -> PluginContent:
        return await read_content(
            self._registry, NAME, manifest, SilentProgress(), limits=limits, readings=self._readings
        )

    @property
    def opened(self) -> int:
        return self._registry.opened


@asynccontextmanager
async def look(folder: Path, manifest: Manifest, readings: Readings | None = None) -> AsyncIterator[Look]:
    async with Store.open(folder) as store:
        yield Look(store, Counted(store, manifest), readings or store.records.readings)


@pytest.fixture
async def manifest(tmp_path: Path) -> Manifest:
    async with Store.open(tmp_path) as store:
        return await put_plugin(store, None, LAYER, UPPER, LAYER)


async def opened_again(folder: Path, manifest: Manifest, limits: LayerLimits = DEFAULT_LIMITS) -> int:
    """Return the number of layers that one more look opens."""
    async with look(folder, manifest) as again:
        await again.content(manifest, limits)
        return again.opened


async def test_a_second_look_opens_no_layer_and_finds_the_same(tmp_path: Path, manifest: Manifest) -> None:
    async with look(tmp_path, manifest) as first:
        before = await first.content(manifest)
        assert first.opened == 2
    async with look(tmp_path, manifest) as second:
        after = await second.content(manifest)
        assert second.opened == 0
    assert view_plugin(after, "1.0").findings == view_plugin(before, "1.0").findings
    assert before.config is not None
    assert before.rootfs is not None
    assert after.rootfs is not None
    assert after.rootfs.whiteouts == before.rootfs.whiteouts != ()
    assert compare_plugins(before.config, before.config, before.rootfs.tree, after.rootfs.tree).files == ()


async def test_two_plugins_that_were_read_are_compared_without_layers(tmp_path: Path, manifest: Manifest) -> None:
    async with look(tmp_path, manifest) as first:
        other = await put_plugin(first.store, None, LAYER, UPPER, zipped(tar(entry("etc/x", b"2"))))
        await first.content(manifest)
        await first.content(other)
    async with look(tmp_path, other) as again:
        before, after = await again.content(manifest), await again.content(other)
        assert again.opened == 0
    assert before.config is not None
    assert before.rootfs is not None
    assert after.rootfs is not None
    files = compare_plugins(before.config, before.config, before.rootfs.tree, after.rootfs.tree).files or ()
    assert [(file.path, file.how) for file in files] == [("etc/x", "content")]


async def test_findings_follow_the_tag_and_the_options_of_each_look(tmp_path: Path, manifest: Manifest) -> None:
    assert await opened_again(tmp_path, manifest) == 2
    async with look(tmp_path, manifest) as again:
        content = await again.content(manifest)
        assert again.opened == 0

    def codes(tag: str, hosts: Platform | None = None) -> set[str]:
        return {finding.code for finding in view_plugin(content, tag, hosts).findings}

    assert "platform-wrong" not in codes("1.0")
    assert "platform-wrong" in codes("1.0-arm64")
    assert "platform-wrong" in codes("1.0", Platform.parse("linux/arm64"))


async def test_the_same_layers_with_another_config_are_another_plugin(tmp_path: Path, manifest: Manifest) -> None:
    await opened_again(tmp_path, manifest)
    async with Store.open(tmp_path) as store:
        other = await put_plugin(
            store, {"Interface": {**CONFIG["Interface"], "Socket": "another.sock"}}, LAYER, UPPER, LAYER
        )
    async with look(tmp_path, other) as again:
        found = view_plugin(await again.content(other), "1.0").findings
        assert again.opened == 2
    assert "socket-unmentioned" in {finding.code for finding in found}


async def test_what_another_version_kept_is_read_anew_and_replaced(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened_again(tmp_path, manifest)
    monkeypatch.setattr(plugin_content, "code_digest", lambda *_: "other code")
    assert await opened_again(tmp_path, manifest) == 2
    assert await opened_again(tmp_path, manifest) == 0


async def test_with_other_limits_layers_are_read_anew(tmp_path: Path, manifest: Manifest) -> None:
    few = LayerLimits(layers=1)
    async with look(tmp_path, manifest) as first:
        assert (await first.content(manifest, few)).rootfs is None
    assert await opened_again(tmp_path, manifest, few) == 0
    async with look(tmp_path, manifest) as again:
        assert (await again.content(manifest)).rootfs is not None
        assert again.opened == 2


def test_a_change_of_any_module_is_another_code(tmp_path: Path) -> None:
    rooms = []
    for room in (rootfs, reading):
        shutil.copytree(room.__path__[0], tmp_path / room.__name__)
        rooms.append(ModuleType(room.__name__))
        rooms[-1].__path__ = [str(tmp_path / room.__name__)]
    assert code_digest(*rooms) == code_digest(rootfs, reading)
    for module in (rooms[0].__path__[0] + "/program.py", rooms[1].__path__[0] + "/tree_columns.py"):
        before = code_digest.__wrapped__(*rooms)
        with Path(module).open("a") as changed:
            changed.write("# other\n")
        assert code_digest.__wrapped__(*rooms) != before


@pytest.mark.parametrize("damage", ["x''", "substr(document, 1, length(document) - 1)", "zeroblob(length(document))"])
async def test_a_damaged_document_is_read_anew(tmp_path: Path, manifest: Manifest, damage: str) -> None:
    await opened_again(tmp_path, manifest)
    with sqlite3.connect(tmp_path / "catalog.sqlite") as connection:
        connection.execute(f"UPDATE readings SET document = {damage}")
    connection.close()
    assert await opened_again(tmp_path, manifest) == 2
    assert await opened_again(tmp_path, manifest) == 0


async def test_a_layer_that_was_deleted_since_is_missed(tmp_path: Path, manifest: Manifest) -> None:
    await opened_again(tmp_path, manifest)
    async with look(tmp_path, manifest) as again:
        with sqlite3.connect(tmp_path / "catalog.sqlite") as connection:
            gone = str(manifest.layers[1].digest)
            connection.execute("DELETE FROM repository_blobs WHERE digest = ?", (gone,))
        connection.close()
        with pytest.raises(BlobUnknown):
            await again.content(manifest)


async def test_what_is_not_here_yet_is_not_kept(tmp_path: Path) -> None:
    elsewhere = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(LAYER), len(LAYER), urls=("https://x.example/x",))
    async with Store.open(tmp_path) as store:
        manifest = await put_plugin(store, None, UPPER, layers=[elsewhere.to_json()])
    async with look(tmp_path, manifest) as first:
        assert (await first.content(manifest)).rootfs is None
    async with look(tmp_path, manifest) as second:
        await put_plugin(second.store)  # brings the layer
        assert (await second.content(manifest)).rootfs is not None
        assert second.opened == 1


async def test_a_plugin_of_an_earlier_version_is_read_once_and_kept(tmp_path: Path) -> None:
    with tarfile.open(FOLDERS / "revision-0009.tar.gz") as archive:
        archive.extractall(tmp_path, filter="fully_trusted")
    async with Store.open(tmp_path) as store:
        manifest = await store.get_manifest(NAME, TAG)
        recorded = await store.records.findings.recorded_findings(manifest.digest)
    assert [await opened_again(tmp_path, manifest) for _ in range(2)] == [1, 0]
    assert recorded is not None
    assert (tmp_path / "catalog-0009.sqlite").is_file()


class Full:
    """Readings on a full disk."""

    async def reading(self, digest: Digest, version: str) -> bytes | None:
        return None

    async def record_reading(self, digest: Digest, version: str, document: bytes) -> None:
        raise StorageFull("no space")


async def test_a_full_disk_does_not_hide_what_was_found(tmp_path: Path, manifest: Manifest) -> None:
    async with look(tmp_path, manifest, Full()) as found:
        assert (await found.content(manifest)).rootfs is not None


async def test_a_reading_that_is_too_large_is_not_kept(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers_reading, "MOST_DOCUMENT_BYTES", 10)
    assert await opened_again(tmp_path, manifest) == 2
    assert await opened_again(tmp_path, manifest) == 2
