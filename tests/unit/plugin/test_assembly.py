"""Assembled plugins and edited configs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.plugin.build.assembly import ConfigDocument, PackedLayer, assemble
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint import manifest_checks
from mirror.plugin.rootfs.layer_facts import LayerFacts

LAYER = PackedLayer(Digest.of(b"gzip"), 4, Digest.of(b"tar"))
CONTIV = b"""{
  "manifestVersion": "v0", "entrypoint": ["/start"], "env": [
    {"Name": "role", "Value": "master", "Settable": ["value"], "x": 1.50}, {"name": "plugin_name", "value": null}],
  "mounts": [{"name": "run", "source": "/run", "destination": "/run"}], "ROOTFS": {"type": "layers", "diff_ids": ["x"]},
  "linux": {"devices": [{"Name": "kvm"}], "capabilities": ["CAP_SYS_ADMIN"]}
}"""


def edited(document: ConfigDocument) -> PluginConfig:
    return PluginConfig.parse(document.encode())


def test_a_plugin_is_one_that_every_engine_takes() -> None:
    plugin = assemble(ConfigDocument.parse(CONTIV), [LAYER])
    body = json.loads(plugin.manifest.content)
    assert list(body) == ["schemaVersion", "mediaType", "config", "layers"]
    facts = LayerFacts(LAYER.size_bytes, compressed=True, diff_id=LAYER.diff_id, tar_bytes=1024, entries=1)
    assert manifest_checks.check_plugin(plugin.manifest, len(plugin.config), plugin.config, {LAYER.digest: facts}) == ()
    assert b"manifestVersion" in plugin.config
    assert b"ROOTFS" in plugin.config
    assert b"rootfs" not in plugin.config


def test_edits_change_what_they_name_and_nothing_else() -> None:
    document = ConfigDocument.parse(CONTIV)
    changed = (
        document.with_env("plugin_name", "contiv/v2plugin:1.0")
        .with_mount_source("run", "/var/run")
        .with_device_path("kvm", "/dev/kvm")
        .with_args(["-debug"])
    )
    before, after = json.loads(document.encode()), json.loads(changed.encode())
    assert after["env"] == [before["env"][0], {"name": "plugin_name", "value": "contiv/v2plugin:1.0"}]
    assert after["mounts"][0] == before["mounts"][0] | {"source": "/var/run"}
    assert after["linux"] == before["linux"] | {"devices": [{"Name": "kvm", "Path": "/dev/kvm"}]}
    assert after["Args"] == {"Value": ["-debug"]}
    assert {key: value for key, value in after.items() if key not in {"env", "mounts", "linux", "Args"}} == {
        key: value for key, value in before.items() if key not in {"env", "mounts", "linux"}
    }
    assert document.encode() == ConfigDocument.parse(CONTIV).encode()


def test_what_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(ConfigurationFault, match=r"no environment variable named 'rôle' \(it has: plugin_name, role\)"):
        ConfigDocument.parse(CONTIV).with_env("rôle", "x")


def test_a_member_is_taken_out_whatever_its_case() -> None:
    assert edited(ConfigDocument.parse(CONTIV).without_member("Mounts")).mounts == ()


@pytest.mark.parametrize("content", [b"[]", b'{"x": 1e999}', b'{"Entrypoint": 1}', b"{} {}", b'{"Env": [], "env": []}'])
def test_what_engines_cannot_read_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        assemble(ConfigDocument.parse(content), [LAYER])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
_UNKNOWN = st.dictionaries(st.text(max_size=8).map(lambda key: f"x-{key}"), _JSON, max_size=4)


@given(unknown=_UNKNOWN, value=st.text(), indent=st.sampled_from([None, 3]))
def test_unknown_keys_are_kept_and_the_same_input_gives_the_same_bytes(
    unknown: dict[str, Any], value: str, indent: int | None
) -> None:
    content = json.dumps({**unknown, "Env": [{"Name": "a"}]}, indent=indent).encode()
    document = ConfigDocument.parse(content).with_env("a", value)
    plugin = assemble(document, [LAYER])
    assert plugin == assemble(ConfigDocument.parse(content).with_env("a", value), [LAYER])
    written = json.loads(plugin.config)
    assert {key: written[key] for key in unknown} == unknown
    assert written["Env"] == [{"Name": "a", "Value": value}]
