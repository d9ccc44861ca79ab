"""The wrapper that checks plugins before they are stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import ManifestBlobUnknown, ManifestInvalid
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from tests.support.layers import DRIVER, LAYER, tar, zipped
from tests.support.waiting import until
from tests.unit.filters.checked import CONFIG, HERE, Checked, manifest

THERE, TAG = Repository("acme/copy"), Tag("1.0")
COMPRESSED = json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(Digest.of(LAYER))]}}).encode()
LARGE = zipped(tar(DRIVER, *[DRIVER] * 5000), level=0)


@pytest.fixture
async def checked() -> AsyncIterator[Checked]:
    yield Checked()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_good_plugin_is_accepted_without_a_word(checked: Checked) -> None:
    plugin = await checked.plugin()
    assert await checked.registry.put_manifest(HERE, plugin, [TAG]) == ()
    assert checked.ledger.codes == {plugin.digest: []}
    assert await checked.registry.get_manifest(HERE, TAG) == plugin


async def test_a_warning_is_given_as_advice_and_recorded(checked: Checked) -> None:
    plugin = await checked.plugin(COMPRESSED)
    (advice,) = await checked.registry.put_manifest(HERE, plugin, [TAG])
    assert advice.startswith("diff_ids are the digests of the compressed layers")
    assert checked.ledger.codes == {plugin.digest: ["diff-ids-compressed"]}
    assert await checked.registry.get_manifest(HERE, TAG) == plugin


async def test_a_faulty_plugin_is_refused_and_nothing_is_stored(checked: Checked) -> None:
    plugin = await checked.plugin(layers=None)
    with pytest.raises(ManifestInvalid, match=r"the plugin has no layers .* push the plugin from the host") as refused:
        await checked.registry.put_manifest(HERE, plugin, [TAG])
    assert refused.value.detail == {"findings": "layers-missing"}
    assert not await checked.holds(plugin)
    assert checked.ledger.codes == {}


async def test_everything_that_is_wrong_is_told_at_once(checked: Checked) -> None:
    plugin = await checked.plugin(b"{", LAYER[:-3])
    with pytest.raises(ManifestInvalid, match="storage/ingest") as refused:
        await checked.registry.put_manifest(HERE, plugin)
    assert refused.value.detail == {"findings": "config-unreadable layer-unreadable"}


async def test_warn_accepts_and_tells_what_to_do() -> None:
    checked = Checked(enforce=False)
    plugin = await checked.plugin(CONFIG, b"garbage")
    (advice,) = await checked.registry.put_manifest(HERE, plugin, [TAG])
    assert "plugins/storage/ingest" in advice
    assert checked.ledger.codes == {plugin.digest: ["layer-unreadable"]}
    assert await checked.registry.get_manifest(HERE, TAG) == plugin


async def test_a_layer_is_read_once(checked: Checked) -> None:
    plugin = await checked.plugin(COMPRESSED)
    for tag in ("1", "2"):
        await checked.registry.put_manifest(HERE, plugin, [Tag(tag)])
    await checked.registry.put_manifest(HERE, await checked.plugin(CONFIG), [TAG])
    assert checked.behind.reads.count(Digest.of(LAYER)) == 1


async def test_what_is_known_of_a_layer_is_no_leave_to_name_it(checked: Checked) -> None:
    plugin = await checked.plugin()
    await checked.registry.put_manifest(HERE, plugin)
    await checked.blob(CONFIG, "", THERE)
    with pytest.raises(ManifestBlobUnknown, match=str(Digest.of(LAYER))):
        await checked.registry.put_manifest(THERE, plugin)


async def test_several_layers_at_a_time_are_read(checked: Checked) -> None:
    layers = [zipped(tar(DRIVER, end=bytes(1024 + 512 * number))) for number in range(5)]
    plugins = [await checked.plugin(CONFIG, layer) for layer in [LARGE, *layers]]
    told = await asyncio.gather(*(checked.registry.put_manifest(HERE, plugin) for plugin in plugins))
    assert [advice[0].partition(" (")[0] for advice in told] == [
        "diff_ids are not the digests of the uncompressed layers"
    ] * 6


async def test_reading_ends_where_a_layer_is_no_good(checked: Checked) -> None:
    garbage = b"garbage" * 1_000_000
    plugin = await checked.plugin(CONFIG, garbage)
    with pytest.raises(ManifestInvalid) as refused:
        await checked.registry.put_manifest(HERE, plugin)
    assert refused.value.detail == {"findings": "layer-unreadable"}
    assert Digest.of(garbage) not in checked.behind.reads


async def test_a_huge_config_is_not_read(checked: Checked) -> None:
    config = b" " * (MAX_CONFIG_BYTES + 1)
    with pytest.raises(ManifestInvalid, match="config cannot be read"):
        await checked.registry.put_manifest(HERE, await checked.plugin(config))
    assert Digest.of(config) not in checked.behind.reads


@pytest.mark.parametrize("missing", ["config", "layer"])
async def test_a_blob_that_is_not_there_is_named(checked: Checked, missing: str) -> None:
    config, layer = (
        await checked.blob(CONFIG, media_types.DOCKER_PLUGIN_CONFIG),
        await checked.blob(LAYER, media_types.DOCKER_LAYER_GZIP),
    )
    await checked.registry.delete_blob(HERE, (config if missing == "config" else layer).digest)
    with pytest.raises(ManifestBlobUnknown, match="push it first"):
        await checked.registry.put_manifest(HERE, manifest(config, [layer]))


async def test_a_layer_that_lies_elsewhere_is_no_hindrance(checked: Checked) -> None:
    config = await checked.blob(CONFIG, media_types.DOCKER_PLUGIN_CONFIG)
    away = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(b"away"), 4, urls=("https://elsewhere.example/layer",))
    plugin = manifest(config, [away])
    await checked.registry.put_manifest(HERE, plugin)
    assert checked.ledger.codes == {plugin.digest: ["layer-elsewhere"]}


def index(*members: Manifest) -> Manifest:
    listed = [member.descriptor.to_json() for member in members]
    body = {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST_LIST, "manifests": listed}
    return Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST_LIST)


async def test_an_index_of_plugins_is_warned_of(checked: Checked) -> None:
    plugin = await checked.plugin()
    with pytest.raises(ManifestBlobUnknown):
        await checked.registry.put_manifest(HERE, index(plugin), [TAG])
    await checked.registry.put_manifest(HERE, plugin)
    (advice,) = await checked.registry.put_manifest(HERE, index(plugin), [TAG])
    assert advice.startswith("the manifest is an index of plugins (engines since 20.10")
    assert checked.ledger.codes[index(plugin).digest] == ["index"]


async def test_other_content_is_not_looked_at(checked: Checked) -> None:
    config = await checked.blob(b"no plugin's config", media_types.OCI_IMAGE_CONFIG)
    layer = await checked.blob(b"no tar at all", media_types.OCI_LAYER_GZIP)
    image = manifest(config, [layer])
    assert await checked.registry.put_manifest(HERE, image) == ()
    assert await checked.registry.put_manifest(HERE, index(image)) == ()
    assert await checked.registry.put_manifest(HERE, index()) == ()
    assert (checked.behind.reads, checked.ledger.codes) == ([], {})


async def test_a_reading_that_is_called_off_leaves_nothing(checked: Checked) -> None:
    plugin = await checked.plugin(CONFIG, LARGE)
    pushing = asyncio.create_task(checked.registry.put_manifest(HERE, plugin))
    await until(lambda: checked.behind.begun)
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    assert not await checked.holds(plugin)
    await checked.registry.put_manifest(HERE, plugin)
    assert checked.behind.reads.count(Digest.of(LARGE)) == 1
