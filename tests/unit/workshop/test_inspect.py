import json

import pytest

from mirror.oci import media_types
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestInvalid, ManifestUnknown
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.plugin.config import MAX_CONFIG_BYTES
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import one
from mirror.workshop.inspect import inspect
from mirror.workshop.install_line import install_line

NAME, TAG = Repository("acme/driver"), Tag("1.0")


async def stored(config, config_type=media_types.DOCKER_PLUGIN_CONFIG, said_bytes=None):
    registry = MemoryRegistry()
    upload = await registry.begin_upload(NAME)
    await upload.append(one(config))
    held = await upload.commit(Digest.of(config))
    described = Descriptor(config_type, held.digest, said_bytes or held.size_bytes)
    body = {"schemaVersion": 2, "mediaType": media_types.DOCKER_MANIFEST, "config": described.to_json(), "layers": []}
    manifest = Manifest.parse(json.dumps(body).encode(), media_types.DOCKER_MANIFEST)
    await registry.put_manifest(NAME, manifest, [TAG])
    return registry, manifest


CONFIG = {
    "network": {"type": "host"},
    "mounts": [{"name": "state", "settable": ["source"]}],
    "env": [{"name": "DEBUG", "value": "0", "settable": ["value"]}],
}


async def test_a_plugin_is_read():
    registry, manifest = await stored(json.dumps(CONFIG).encode())
    found = await inspect(registry, NAME, TAG)
    assert (found.kind, found.manifest) == ("plugin", manifest)
    assert [str(privilege) for privilege in found.privileges] == ["network: [host]"]
    assert [setting.key for setting in found.settings] == ["DEBUG", "state"]


@pytest.mark.parametrize(
    ("config_type", "kind", "line"),
    [
        (media_types.DOCKER_IMAGE_CONFIG, "image", "docker pull mirror:5000/acme/driver:1.0"),
        (media_types.OCI_IMAGE_CONFIG, "image", "docker pull mirror:5000/acme/driver:1.0"),
        ("application/vnd.acme.thing", "artifact", None),
    ],
)
async def test_other_kinds(config_type, kind, line):
    registry, _ = await stored(b"{}", config_type)
    found = await inspect(registry, NAME, TAG)
    assert (found.kind, found.plugin, install_line(found, "mirror:5000")) == (kind, None, line)


async def test_the_install_line_names_what_must_be_set():
    registry, manifest = await stored(json.dumps(CONFIG).encode())
    by_tag = await inspect(registry, NAME, TAG)
    assert install_line(by_tag, "mirror:5000") == "docker plugin install mirror:5000/acme/driver:1.0 state=VALUE"
    by_digest = await inspect(registry, NAME, manifest.digest)
    assert f"mirror:5000/acme/driver@{manifest.digest}" in install_line(by_digest, "mirror:5000")


async def test_a_config_that_no_engine_reads():
    registry, _ = await stored(b'{"Env": "A=b"}')
    with pytest.raises(ManifestInvalid, match="Env is not a list"):
        await inspect(registry, NAME, TAG)


async def test_a_config_that_is_said_to_be_huge():
    registry, _ = await stored(b"{}", said_bytes=MAX_CONFIG_BYTES + 1)
    with pytest.raises(ManifestInvalid, match="larger than"):
        await inspect(registry, NAME, TAG)


async def test_what_is_not_there():
    registry, _ = await stored(b"{}")
    with pytest.raises(ManifestUnknown):
        await inspect(registry, NAME, Tag("absent"))
