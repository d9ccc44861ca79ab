"""The image as one file: both readings of the archive find the same image."""

from __future__ import annotations

import gzip
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.release.image_archive import write_archive
from tests.harness.packing import digest_of
from tests.harness.saved_image import save_docker

MADE_AT = datetime(2026, 11, 30, tzinfo=UTC)
LAYERS = [b"first layer", b"second layer"]


@pytest.fixture
def members(tmp_path: Path) -> dict[str, bytes]:
    saved = save_docker(LAYERS, tmp_path / "saved.tar")
    write_archive(saved, "mirror:1", tmp_path / "image.tar", MADE_AT)
    with tarfile.open(tmp_path / "image.tar") as tar:
        return {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry))}


def test_engines_up_to_24_find_name_config_and_layers(members: dict[str, bytes]) -> None:
    (image,) = json.loads(members["manifest.json"])
    assert image["RepoTags"] == ["mirror:1"]
    assert [gzip.decompress(members[name]) for name in image["Layers"]] == LAYERS
    assert "rootfs" in json.loads(members[image["Config"]])


def test_others_find_the_same_in_the_oci_layout(members: dict[str, bytes]) -> None:
    (described,) = json.loads(members["index.json"])["manifests"]
    assert described["annotations"]["org.opencontainers.image.ref.name"] == "1"
    assert described["annotations"]["io.containerd.image.name"] == "docker.io/library/mirror:1"
    manifest = json.loads(blob(members, described))
    (image,) = json.loads(members["manifest.json"])
    assert blob(members, manifest["config"]) == members[image["Config"]]
    assert [blob(members, layer) for layer in manifest["layers"]] == [members[name] for name in image["Layers"]]


def blob(members: dict[str, bytes], descriptor: dict[str, object]) -> bytes:
    """Return the blob of a descriptor after a comparison with its digest and size."""
    content = members[f"blobs/{str(descriptor['digest']).replace(':', '/')}"]
    assert (digest_of(content), len(content)) == (descriptor["digest"], descriptor["size"])
    return content
