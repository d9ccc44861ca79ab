"""Plugins packed without an engine."""

import gzip
import io
import json
import tarfile
from pathlib import Path

from tests.harness.packing import digest_of, legacy_manifest, pack, packed_from
from tests.harness.plugins import contiv_plugin


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    assert pack(contiv_plugin(tmp_path / "one")) == pack(contiv_plugin(tmp_path / "two"))


def test_the_layer_is_a_tar_ended_by_two_zero_blocks_and_its_diff_id_is_true(tmp_path: Path) -> None:
    packed = pack(contiv_plugin(tmp_path / "contiv"))
    tar = gzip.decompress(packed.layer)
    assert json.loads(packed.config)["rootfs"] == {"diff_ids": [digest_of(tar)], "type": "layers"}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = archive.getmembers()
        last = members[-1]
        assert members[0].name == "."
        assert archive.getmember("startcontiv.sh").mode == 0o755
        assert len(tar) == last.offset_data + -(-last.size // 512) * 512 + 1024
    assert not any(tar[-1024:])


def test_the_config_is_encoded_as_an_engine_does(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    (folder / "rootfs").mkdir(parents=True)
    (folder / "config.json").write_text('{"description": "a<b", "IPCHOST": true, "unknown": 1, "mounts": null}')
    packed = pack(folder)
    assert packed.config.endswith(b"}\n")
    assert b'"Description":"a\\u003cb","Documentation":"","Entrypoint":null,"Env":null' in packed.config
    assert b'"IpcHost":true' in packed.config
    assert b"unknown" not in packed.config


def test_the_manifest_is_compact_and_names_both_blobs(tmp_path: Path) -> None:
    packed = pack(contiv_plugin(tmp_path / "contiv"))
    manifest = json.loads(packed.manifest)
    assert list(manifest) == ["schemaVersion", "config", "layers", "mediaType"]
    assert manifest["config"]["digest"] == packed.config_digest
    assert manifest["layers"][0] == {
        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "digest": packed.layer_digest,
        "size": len(packed.layer),
    }
    assert b" " not in packed.manifest


def test_the_legacy_manifest_has_519_bytes() -> None:
    manifest = legacy_manifest(packed_from(bytes(1055), bytes(8_820_470)))
    assert len(manifest) == 519
    assert manifest.startswith(b'{\n   "schemaVersion": 2,\n   "mediaType": ')
    assert manifest.endswith(b"\n   ]\n}")


def test_a_contiv_plugin_with_a_payload_has_a_legacy_manifest_of_519_bytes(tmp_path: Path) -> None:
    packed = pack(contiv_plugin(tmp_path / "contiv", payload_size_bytes=1_200_000))
    assert len(legacy_manifest(packed)) == 519
