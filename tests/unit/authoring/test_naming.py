"""Notes about a plugin that gets a name which its own variable does not have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirror.authoring.capture import capture
from mirror.authoring.naming import config_notes, notes_on_name
from mirror.authoring.tag import tag
from mirror.authoring.unpack import unpack
from mirror.oci import Digest, Repository, Tag
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.graph.places import CopyDestination
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import hold, index, plugin
from tests.support.layers import LAYER

HERE, SITE, TAG = Repository("acme/driver"), Repository("site/driver"), Tag("1.0")
CONFIG = json.dumps({"Env": [{"Name": "plugin_name", "Value": "acme/driver:1.0", "Settable": ["value"]}]}).encode()
PLUGIN = plugin(CONFIG, LAYER)
NOTE = "plugin_name is acme/driver:1.0, so the driver does not know its name "


@pytest.fixture
async def registry() -> MemoryRegistry:
    registry = MemoryRegistry()
    await hold(registry, HERE, [CONFIG, LAYER], [PLUGIN], TAG.name)
    return registry


async def test_another_name_is_told(registry: MemoryRegistry) -> None:
    assert (await tag(registry, HERE, TAG, SITE, TAG)).advice == (
        f"{NOTE}site/driver:1.0; fix: install it with --alias site/driver:1.0 and plugin_name=site/driver:1.0",
    )
    assert (await tag(registry, SITE, TAG, HERE, TAG)).advice == ()


async def test_a_folder_is_created_under_the_name_that_is_printed(registry: MemoryRegistry, tmp_path: Path) -> None:
    found = await unpack(registry, HERE, PLUGIN.digest, tmp_path / "a", SilentProgress())
    assert found.notes[-1] == (
        f"{NOTE}acme/driver:latest; fix: run 'docker plugin set acme/driver:latest plugin_name=acme/driver:latest' "
        "before it is enabled"
    )
    found = await unpack(registry, HERE, TAG, tmp_path / "b", SilentProgress())
    assert not any("plugin_name" in note for note in found.notes)


@pytest.mark.parametrize("verbatim", [True, False])
async def test_a_captured_plugin_under_another_name(verbatim: bool, tmp_path: Path) -> None:
    blobs, folder = tmp_path / "plugins/storage/blobs/sha256", tmp_path / "plugins" / (64 * "c")
    blobs.mkdir(parents=True)
    (folder / "rootfs").mkdir(parents=True)
    (folder / "rootfs/driver").write_bytes(b"x")
    for content in (CONFIG, LAYER, PLUGIN.content) if verbatim else ():
        (blobs / Digest.of(content).hex).write_bytes(content)
    # In the record, the setting has the value that the host has set.
    config = json.loads(CONFIG.replace(b"acme/driver:1.0", b"set/here:1" if verbatim else b"acme/driver:1.0"))
    plugin = {"Id": folder.name, "Name": "acme/driver:1.0", "Config": config, "Settings": {}}
    record = {"plugin": plugin, "Manifest": str(PLUGIN.digest), "Config": str(Digest.of(CONFIG)), "Blobsums": None}
    (folder / "config.json").write_text(json.dumps(record))
    site = CopyDestination(MemoryRegistry(), SITE)
    found = await capture(tmp_path, "acme/driver:1.0", site, TAG, SilentProgress())
    assert found.verbatim == verbatim
    assert found.notes[-1].startswith(f"{NOTE}site/driver:1.0; fix: install it with --alias site/driver:1.0 and")


async def test_other_content_has_no_note(registry: MemoryRegistry) -> None:
    assert await notes_on_name(registry, HERE, index(PLUGIN.descriptor), TAG) == ()
    assert config_notes(b"{", "acme/driver:1.0") == ()
