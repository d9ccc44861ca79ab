"""Container images packed without an engine."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.harness.image import DOCKER, OCI, Dialect, pack_image, write_folder, write_oci_layout
from tests.harness.packing import digest_of

FILES = {"etc/greeting": b"hello\n", "bin/hello": b"#!"}


def test_the_same_files_give_the_same_bytes() -> None:
    assert pack_image(FILES, OCI) == pack_image(dict(reversed(FILES.items())), OCI)


@pytest.mark.parametrize("dialect", [DOCKER, OCI])
def test_the_documents_name_each_other(dialect: Dialect) -> None:
    image = pack_image(FILES, dialect)
    manifest = json.loads(image.manifest)
    assert manifest["mediaType"] == dialect.manifest
    assert manifest["config"] == {
        "mediaType": dialect.config,
        "digest": digest_of(image.config),
        "size": len(image.config),
    }
    assert [layer["digest"] for layer in manifest["layers"]] == [digest_of(image.layer)]
    tar = gzip.decompress(image.layer)
    assert json.loads(image.config)["rootfs"]["diff_ids"] == [digest_of(tar)]
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        content = archive.extractfile("etc/greeting")
        assert content is not None
        assert content.read() == b"hello\n"


def test_an_oci_layout_holds_every_blob_under_its_digest(tmp_path: Path) -> None:
    image = pack_image(FILES, OCI)
    assert write_oci_layout(image, tmp_path / "layout", "1") == f"oci:{tmp_path / 'layout'}:1"
    (entry,) = json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"]
    assert entry["digest"] == image.manifest_digest
    blobs = list((tmp_path / "layout/blobs/sha256").iterdir())
    assert len(blobs) == 3
    assert all(digest_of(blob.read_bytes()) == f"sha256:{blob.name}" for blob in blobs)


def test_a_folder_holds_the_manifest_as_it_is(tmp_path: Path) -> None:
    image = pack_image(FILES, DOCKER)
    assert write_folder(image, tmp_path / "folder") == f"dir:{tmp_path / 'folder'}"
    assert (tmp_path / "folder/manifest.json").read_bytes() == image.manifest
    assert len(list((tmp_path / "folder").iterdir())) == 4
