"""OCI layouts in a file: written completely or not at all, with equal bytes for equal content."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from mirror.authoring.files.layout_file import LayoutFile
from mirror.oci import Digest, Repository
from mirror.oci.errors import BlobUnknown, DigestInvalid, StorageFault, Unsupported, UploadInvalid, UploadUnknown
from mirror.registry.memory import MemoryRegistry
from mirror.registry.streams import single_chunk
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import SilentProgress
from tests.support.builders import hold, plugin
from tests.unit.authoring.conftest import REPOSITORY, TAG


async def written(file: Path) -> dict[str, bytes]:
    registry = MemoryRegistry()
    manifest = plugin(b"{}", b"layer" * 1000)
    await hold(registry, REPOSITORY, [b"{}", b"layer" * 1000], [manifest], str(TAG))
    async with LayoutFile.create(file) as layout:
        destination = CopyDestination(layout, REPOSITORY)
        await copy_graph(CopySource(registry, REPOSITORY), TAG, destination, [TAG], SilentProgress(), blobs_at_once=1)
    with tarfile.open(file) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]  # all files


async def test_a_plugin_is_written_with_its_name(tmp_path: Path) -> None:
    files = await written(tmp_path / "a.tar")
    index = json.loads(files.pop("index.json"))
    assert files.pop("oci-layout") == b'{"imageLayoutVersion":"1.0.0"}'
    assert {name: f"blobs/sha256/{Digest.of(content).hex}" for name, content in files.items()} == {
        name: name for name in files
    }
    (member,) = index["manifests"]
    assert f"blobs/{member['digest'].replace(':', '/')}" in files
    assert member["annotations"] == {
        "org.opencontainers.image.ref.name": "1.0",
        "io.containerd.image.name": "site/driver:1.0",
    }
    again = await written(tmp_path / "b.tar")
    assert again.keys() == {*files, "index.json", "oci-layout"}
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


async def test_what_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    file.write_text("old")
    with pytest.raises(RuntimeError):
        async with LayoutFile.create(file):
            raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.glob("*a.tar*")] == [("a.tar", "old")]
    with pytest.raises(StorageFault, match="cannot be written"):
        async with LayoutFile.create(tmp_path / "no/where.tar"):
            pass


async def test_a_link_keeps_pointing_to_the_file_and_other_kinds_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link.tar").symlink_to("a.tar")
    await written(tmp_path / "link.tar")
    assert (tmp_path / "link.tar").readlink() == Path("a.tar")
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", tmp_path):
        with pytest.raises(StorageFault, match="it is not a regular file; fix: "):
            async with LayoutFile.create(other):
                pass
    assert (tmp_path / "pipe").is_fifo()


async def test_content_is_held_to_its_digest_and_written_one_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    wrong, right = Digest.of(b"wrong"), Digest.of(b"right")
    async with LayoutFile.create(file) as layout:
        upload = await layout.begin_upload(REPOSITORY)
        with pytest.raises(UploadInvalid):
            await layout.begin_upload(REPOSITORY)
        await upload.append(single_chunk(b"right"))
        with pytest.raises(DigestInvalid):
            await upload.commit(wrong)
        with pytest.raises(UploadUnknown):
            await upload.append(single_chunk(b"more"))
        for _ in range(2):  # the second time it is there already
            upload = await layout.begin_upload(REPOSITORY)
            await upload.append(single_chunk(b"right"))
            await upload.commit(right)
        assert (await layout.stat_blob(REPOSITORY, right)).size_bytes == 5
        with pytest.raises(BlobUnknown):
            await layout.stat_blob(REPOSITORY, wrong)
        with pytest.raises(Unsupported):
            layout.open_blob(REPOSITORY, right)
        assert await layout.mount_blob(Repository("a"), right, None) is None
    with tarfile.open(file) as archive:
        assert archive.getnames() == ["oci-layout", f"blobs/sha256/{right.hex}", "index.json"]
