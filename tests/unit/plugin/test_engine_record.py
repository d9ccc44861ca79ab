"""The engines' records of installed plugins."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.build.engine_record import EngineRecord, manifest_as_pushed
from mirror.plugin.config.plugin_config import PluginConfig

CONFIG: dict[str, Any] = {
    "Args": {"Name": "args", "Settable": ["value"], "Value": ["-a"]},
    "DockerVersion": "26.1.5",
    "Entrypoint": ["/start"],
    "Env": [{"Name": "role", "Value": "master"}, {"Name": "debug", "Value": None}],
    "Linux": {"Devices": [{"Name": "kvm", "Path": "/dev/kvm"}, {"Name": "", "Path": "/dev/x"}]},
    "Mounts": [
        {"Name": "", "Source": "/a", "Destination": "/a"},
        {"Name": "state", "Source": None, "Destination": "/s"},
        {"Name": "data", "Source": "/d", "Destination": "/d"},
    ],
    "PropagatedMount": "/mnt",
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
}
ID = "ab" * 32


def record(settings: dict[str, Any] | None = None, **more: Any) -> EngineRecord:
    plugin = {"Id": ID, "Name": "acme/x:1", "Enabled": True, "Config": CONFIG, "Settings": settings}
    return EngineRecord.parse(json.dumps({"plugin": plugin, **more}).encode())


def test_a_record_is_read_without_what_the_engine_wrote_into_the_configuration() -> None:
    found = record()
    assert (found.plugin_id, found.name, found.enabled) == (ID, "acme/x:1", True)
    config = json.loads(found.document.encode())
    assert "rootfs" not in config
    assert "DockerVersion" not in config
    assert config["Entrypoint"] == ["/start"]


def test_devices_variables_and_arguments_are_those_of_the_settings_and_mounts_those_of_the_config() -> None:
    found = record(
        {
            "Args": ["-b", "c"],
            "Devices": [{"Name": "kvm", "Path": "/dev/kvm2"}, {"Name": "", "Path": "/dev/y"}],
            "Env": ["role=worker", "debug=a=b", "odd"],
            "Mounts": [{"Name": "old", "Source": "/b"}],
        }
    ).values
    assert (found.args, found.paths) == (("-b", "c"), {"kvm": "/dev/kvm2", "/dev/y": "/dev/y"})
    assert found.env == {"role": "worker", "debug": "a=b", "odd": ""}
    assert found.sources == {"data": "/d"}


def test_digests_are_read_as_each_generation_keeps_them() -> None:
    one, two = Digest.of(b"1"), Digest.of(b"2")
    legacy = record(Config=str(one), Blobsums=[str(two)])
    assert (legacy.manifest, legacy.config, legacy.layers) == (None, one, (two,))
    pulled = record(Config=str(one), Blobsums=None, Manifest=str(two))
    assert (pulled.manifest, pulled.config, pulled.layers) == (two, one, None)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"plugin": {}}', b'{"plugin": {"Config": []}}', b'{"plugin": {"Config": {"Entrypoint": 1}}}']
    + [json.dumps({"plugin": {"Config": {}}, **wrong}).encode() for wrong in ({"Manifest": "x"}, {"Blobsums": [1]})],
)
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        EngineRecord.parse(content)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
def test_any_record_is_read_or_refused(data: st.DataObject) -> None:
    content: dict[str, Any] = {
        "plugin": {
            "Id": ID,
            "Name": "a:1",
            "Config": {**CONFIG, **data.draw(st.dictionaries(st.sampled_from(sorted(CONFIG)), _JSON, max_size=2))},
            "Settings": data.draw(
                _JSON | st.dictionaries(st.sampled_from(["Env", "Args", "Mounts", "Devices"]), _JSON, max_size=4)
            ),
        },
        **data.draw(st.dictionaries(st.sampled_from(["Manifest", "Config", "Blobsums", "plugin"]), _JSON, max_size=2)),
    }
    try:
        found = EngineRecord.parse(json.dumps(content).encode())
    except ManifestInvalid:
        return
    assert found.plugin_id in {ID, ""}
    assert PluginConfig.parse(found.document.encode()).diff_ids == ()


def test_the_manifest_of_a_created_plugin_is_the_engines_to_the_byte() -> None:
    # The form in which engines 20.10.24 and 26.1.5 push it.
    config, layer = Digest.of(b"c"), Digest.of(b"l")
    assert manifest_as_pushed((config, 10), [(layer, 20)]) == (
        b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.plugin.v1+json",'
        b'"digest":"%s","size":10},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip",'
        b'"digest":"%s","size":20}],"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}'
        % (str(config).encode(), str(layer).encode())
    )
