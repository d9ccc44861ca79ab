"""OCI layouts read as registries: their content, their names, and errors for invalid layouts."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.authoring.files.layout_file import LayoutFile
from mirror.authoring.files.layout_reader import LayoutReader
from mirror.authoring.files.layout_reference import LayoutReference
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import (
    BlobUnknown,
    ConfigurationFault,
    ManifestInvalid,
    ManifestUnknown,
    MirrorError,
    RangeInvalid,
)
from mirror.registry.memory import MemoryRegistry
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest
from tests.support.builders import hold, plugin
from tests.unit.authoring.conftest import REPOSITORY, TAG

CONFIG, LAYER = b"{}", bytes(range(256)) * 12_000
MANIFEST = plugin(CONFIG, LAYER)


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    registry, file = MemoryRegistry(), tmp_path / "driver.tar"
    await hold(registry, REPOSITORY, [CONFIG, LAYER], [MANIFEST], str(TAG))
    async with LayoutFile.create(file) as layout:
        destination = CopyDestination(layout, REPOSITORY)
        await copy_graph(CopySource(registry, REPOSITORY), TAG, destination, [TAG], SilentProgress(), blobs_at_once=1)
    return file


def changed(file: Path, **annotations: str) -> Path:
    """Unpack a layout into a folder and replace the annotations of its first manifest."""
    folder = file.with_suffix("")
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0]["annotations"] = {f"org.opencontainers.image.{k}": value for k, value in annotations.items()}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


async def content(reader: LayoutReader, digest: Digest, part: RangeRequest | None = None) -> bytes:
    async with reader.open_blob(REPOSITORY, digest, part) as blob:
        return b"".join([chunk async for chunk in blob])


@pytest.mark.parametrize("target", [TAG, MANIFEST.digest])
async def test_what_was_written_is_read(file: Path, target: Tag | Digest) -> None:
    async with LayoutReader.open(file) as reader:
        assert await reader.get_manifest(REPOSITORY, target) == MANIFEST
        assert await reader.resolve(REPOSITORY, target) == MANIFEST.descriptor
        for blob, expected in zip(MANIFEST.blobs, (CONFIG, LAYER), strict=True):
            assert await content(reader, blob.digest) == expected
            assert (await reader.stat_blob(REPOSITORY, blob.digest)).size_bytes == len(expected)
        part = RangeRequest.parse("bytes=1000000-1000009")
        assert await content(reader, Digest.of(LAYER), part) == LAYER[1_000_000:1_000_010]
        with pytest.raises(RangeInvalid):
            await content(reader, Digest.of(CONFIG), part)
        assert not (await reader.list_referrers(REPOSITORY, MANIFEST.digest, None, PageRequest())).entries


@pytest.mark.parametrize(
    ("annotations", "repository", "found"),
    [
        ({"ref.name": "1.0"}, "any/name", True),  # as skopeo and oras write it
        ({"ref.name": "site/driver:1.0"}, "site/driver", True),
        ({"ref.name": "site/driver:1.0"}, "any/name", False),
        ({"ref.name": "2.0"}, "site/driver", False),
        ({}, "site/driver", False),
    ],
)
async def test_what_a_layout_calls_it(file: Path, annotations: dict[str, str], repository: str, found: bool) -> None:
    async with LayoutReader.open(changed(file, **annotations)) as reader:
        if found:
            assert await reader.get_manifest(Repository(repository), TAG) == MANIFEST
            return
        has = annotations.get("ref.name", "no named content")
        with pytest.raises(ManifestUnknown, match=rf"does not hold {repository}:1.0 \(names: {has}\)"):
            await reader.get_manifest(Repository(repository), TAG)


async def test_what_is_not_there(file: Path) -> None:
    async with LayoutReader.open(file) as reader:
        with pytest.raises(BlobUnknown):
            await reader.stat_blob(REPOSITORY, Digest.of(b"other"))


@pytest.mark.parametrize("name", [f"blobs/sha256/{Digest.of(LAYER).hex}", f"blobs/sha256/{MANIFEST.digest.hex}"])
async def test_other_bytes_under_a_digest(file: Path, name: str) -> None:
    with tarfile.open(file) as archive:
        at = archive.getmember(name).offset_data
    with file.open("r+b") as stream:
        stream.seek(at + 20)
        stream.write(b"!")
    async with LayoutReader.open(file) as reader:
        with pytest.raises((ConfigurationFault, ManifestInvalid), match="digest"):
            await content(reader, (await reader.get_manifest(REPOSITORY, TAG)).layers[0].digest)


@pytest.mark.parametrize(
    ("index", "error", "match"),
    [
        (None, ConfigurationFault, "is not an OCI image layout"),
        ("[", ManifestInvalid, "is not JSON"),
        ("{}", ManifestInvalid, "no list of manifests"),
        ('{"manifests": [1]}', ManifestInvalid, "is not an object"),
    ],
)
async def test_what_is_no_layout(tmp_path: Path, index: str | None, error: type[MirrorError], match: str) -> None:
    if index is not None:
        (tmp_path / "index.json").write_text(index)
    with pytest.raises(error, match=match):
        async with LayoutReader.open(tmp_path):
            pass


async def test_a_file_that_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"x" * 2000)
    for name in ("x.tar", "absent.tar"):
        with pytest.raises(ConfigurationFault, match=name):
            async with LayoutReader.open(tmp_path / name):
                pass


def test_references() -> None:
    parsed = LayoutReference.parse("a/b.tar:site/driver:1.0")
    assert parsed is not None
    assert (parsed.file, str(parsed.reference)) == (Path("a/b.tar"), "site/driver:1.0")
    assert str(parsed) == "a/b.tar:site/driver:1.0"
    assert LayoutReference.parse("site/driver:1.0") is None


@given(st.text())
def test_whatever_is_no_reference_raises_an_error_of_the_tree(text: str) -> None:
    try:
        LayoutReference.parse(f"x.tar:{text}")
    except MirrorError as error:
        assert str(error)
