import json

import pytest

from mirror.oci import media_types
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestUnknown
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.plugin import known_findings
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


@pytest.mark.parametrize("content", [b'{"Env": "A=b"}', b" " * (MAX_CONFIG_BYTES + 1)])
async def test_a_config_that_cannot_be_read(content):
    registry, _ = await stored(content)
    found = await inspect(registry, NAME, TAG)
    assert (found.kind, found.plugin, found.privileges) == ("plugin", None, ())
    assert [finding.code for finding in found.findings] == ["layers-missing", "config-unreadable"]
    assert install_line(found, "mirror:5000") == "docker plugin install mirror:5000/acme/driver:1.0"


async def test_what_nobody_has_looked_at_shows_what_it_can():
    registry, _ = await stored(b"{}", said_bytes=7)
    found = await inspect(registry, NAME, TAG)
    assert [finding.code for finding in found.findings] == ["layers-missing", "size-wrong"]


@pytest.mark.parametrize("known", [(), (known_findings.diff_ids_compressed(),)])
async def test_what_was_found_before_is_shown(known):
    asked = []

    async def recorded(digest):
        asked.append(digest)
        return known

    registry, manifest = await stored(b"{}")
    assert (await inspect(registry, NAME, TAG, recorded)).findings == known
    assert asked == [manifest.digest]


async def test_what_is_not_there():
    registry, _ = await stored(b"{}")
    with pytest.raises(ManifestUnknown):
        await inspect(registry, NAME, Tag("absent"))
