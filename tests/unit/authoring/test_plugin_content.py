"""Content of plugins read through the registry port: the report, missing blobs, and the cost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mirror.authoring.plugin_content import read_config, read_content, require_plugin
from mirror.oci import Descriptor, Digest, Manifest, media_types
from mirror.oci.errors import BlobUnknown, ManifestInvalid
from mirror.plugin.lint.plugin_view import view_plugin
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import single_chunk
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness.mirror import PROGRAM
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import CONFIG, DRIVER, LAYER, NAME, TAG, put_blob, put_plugin


class Counting(SilentProgress):
    def __init__(self) -> None:
        self.expected_bytes = self.advanced_bytes = 0

    def expect(self, total_bytes: int) -> None:
        self.expected_bytes += total_bytes

    def advance(self, size_bytes: int) -> None:
        self.advanced_bytes += size_bytes


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


async def codes(registry: MemoryRegistry, manifest: Manifest) -> list[str]:
    content = await read_content(registry, NAME, manifest, SilentProgress())
    return [finding.code for finding in view_plugin(content, "1.0").findings]


async def test_a_plugin_is_read_as_a_whole(registry: MemoryRegistry) -> None:
    manifest = await put_plugin(registry)
    progress = Counting()
    content = await read_content(registry, NAME, manifest, progress)
    assert content.rootfs is not None
    assert [path for path, _ in content.rootfs.tree.walk()] == ["bin", "bin/driver"]
    assert progress.expected_bytes == progress.advanced_bytes == len(LAYER)
    assert await codes(registry, manifest) == ["diff-ids-wrong"]


async def test_layers_lie_over_one_another(registry: MemoryRegistry) -> None:
    upper = zipped(tar(entry("bin/.wh.driver"), entry("etc/x")))
    manifest = await put_plugin(registry, None, LAYER, upper, LAYER)
    content = await read_content(registry, NAME, manifest, SilentProgress())
    assert content.rootfs is not None
    assert [path for path, _ in content.rootfs.tree.walk()] == ["bin", "etc", "etc/x"]


async def test_without_its_layers_a_config_is_read(registry: MemoryRegistry) -> None:
    content = await read_config(registry, NAME, await put_plugin(registry))
    assert (content.config is not None, content.rootfs, content.findings) == (True, None, ())


async def test_a_layer_that_cannot_be_read_tells_nothing_of_its_files(registry: MemoryRegistry) -> None:
    assert await codes(registry, await put_plugin(registry, None, LAYER[:-20])) == ["layer-unreadable"]


async def test_a_layer_that_is_not_there(registry: MemoryRegistry) -> None:
    manifest = await put_plugin(registry)
    await registry.delete_blob(NAME, manifest.layers[0].digest)
    with pytest.raises(BlobUnknown):
        await read_content(registry, NAME, manifest, SilentProgress())


async def test_a_layer_that_is_elsewhere(registry: MemoryRegistry) -> None:
    layer = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(b"x"), 1, urls=("https://elsewhere.example/x",))
    manifest = await put_plugin(registry, None, layers=[layer.to_json()])
    assert await codes(registry, manifest) == ["layer-elsewhere"]


@pytest.mark.parametrize(
    ("media_type", "told"),
    [(media_types.DOCKER_IMAGE_CONFIG, "is not a plugin"), (None, "is an index")],
)
async def test_what_is_no_plugin(registry: MemoryRegistry, media_type: str | None, told: str) -> None:
    plugin = await put_plugin(registry)
    if media_type is None:
        body = {"schemaVersion": 2, "manifests": [plugin.descriptor.to_json()]}
        manifest = Manifest.parse(json.dumps(body).encode(), media_types.OCI_INDEX)
    else:
        described = await put_blob(registry, b"{}", media_type)
        body = {"schemaVersion": 2, "config": described.to_json(), "layers": []}
        manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    with pytest.raises(ManifestInvalid, match=told):
        require_plugin(manifest, "acme/driver:1.0")


MEASURED = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
print(json.dumps([done.returncode, done.stdout, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))
"""
LARGE_BYTES = 200 * 1024 * 1024


@pytest.fixture
async def large(tmp_path: Path) -> Path:
    """A store with a plugin of 200 MiB and twenty thousand files. The bytes of its large file do not compress."""
    noise = zipped(random.Random(1).randbytes(8 * 1024 * 1024), level=1)
    files = b"".join(entry(f"usr/lib/module{number % 100}/file{number}", bytes(600)) for number in range(20_000))
    head = entry("bin/driver", DRIVER, mode=0o755) + files
    layer = zipped(head, level=1) + zipped(entry("opt/large", size=LARGE_BYTES)) + noise * 25 + zipped(bytes(1024))
    async with Store.open(tmp_path) as store:
        upload = await store.begin_upload(NAME)
        await upload.append(single_chunk(layer))
        held = await upload.commit(Digest.of(layer))
        described = await put_blob(store, json.dumps(CONFIG).encode(), media_types.DOCKER_PLUGIN_CONFIG)
        body = {
            "schemaVersion": 2,
            "mediaType": media_types.DOCKER_MANIFEST,
            "config": described.to_json(),
            "layers": [Descriptor(media_types.DOCKER_LAYER_GZIP, held.digest, held.size_bytes).to_json()],
        }
        await store.put_manifest(NAME, Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST), [TAG])
    return tmp_path


@pytest.mark.parametrize("command", ["lint", "inspect"])
def test_a_large_plugin_is_read_in_little_memory(large: Path, command: str) -> None:
    arguments = [sys.executable, "-c", MEASURED, PROGRAM, command, f"{NAME}:{TAG}", "--data", str(large), "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    exit_code, shown, peak_bytes = json.loads(done.stdout)
    assert (exit_code, [finding["code"] for finding in json.loads(shown)["findings"]]) == (0, ["diff-ids-wrong"])
    assert peak_bytes < 150 * 1024 * 1024
