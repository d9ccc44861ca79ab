"""``plugin-mirror bundle export`` as a user runs it, also killed at random points."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle.format.bundle_head import BundleHead, read_head
from mirror.bundle.format.byte_source import FileSource
from mirror.bundle.verification import verify_bytes
from mirror.oci import Repository, Tag
from mirror.oci.media_types import OCI_IMAGE_CONFIG, OCI_INDEX
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness.mirror import PROGRAM, plugin_mirror
from tests.support.builders import hold, manifest_of, push_blob
from tests.support.bundles import small_plugin
from tests.support.killing import kill_at_random_points

pytestmark = pytest.mark.e2e

LAYER_BYTES = 6 * 1024 * 1024


async def fill(data: Path) -> None:
    """Store six plugins with a layer of their own and one that they share."""
    shared = random.Random(0).randbytes(LAYER_BYTES)
    async with Store.open(data) as store:
        for number in range(1, 7):
            repository = Repository(f"acme/driver{number}")
            layer = random.Random(number).randbytes(LAYER_BYTES)
            manifest, blobs = small_plugin(shared, layer, Description=str(number))
            for blob in blobs:
                await push_blob(store, blob, repository)
            await store.put_manifest(repository, manifest, [Tag("1.0")])


async def verified(bundle: Path) -> BundleHead:
    """Return the head of a bundle whose every byte was compared with its statement."""
    source = await FileSource.open(bundle)
    head = await read_head(source)
    await verify_bytes(head, source, SilentProgress())
    return head


def test_kills_at_random_points(tmp_path: Path, kills: int) -> None:
    data, bundle = tmp_path / "data", tmp_path / "site.tar"
    asyncio.run(fill(data))
    seen: dict[int, str] = {}

    def check() -> None:
        """Check that only complete bundles are seen, and that no serial stands for two of them."""
        if bundle.exists():
            head = asyncio.run(verified(bundle))
            assert len(head.names) == 6
            statement = str(head.envelope.digest)
            assert seen.setdefault(head.statement.serial, statement) == statement

    kill_at_random_points(
        [PROGRAM, "bundle", "export", "--data", str(data), "-o", str(bundle), "--all", "--unsigned", "--stream", "s"],
        kills=kills,
        seed=14,
        check=check,
        afresh=bundle.unlink,
        begun=bundle.with_name("site.tar.partial").exists,
    )

    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "site.tar"]
    # No export was lost: each serial up to the last one was seen as a file.
    assert sorted(seen) == list(range(1, len(seen) + 1))


async def fill_with_everything(data: Path) -> None:
    """Store two plugins, a signature of one of them, and an index that names a plugin which is not here."""
    driver = Repository("acme/driver")
    first, blobs = small_plugin(Description="first")
    second, more = small_plugin(Description="second")
    signed = {"layers": [], "subject": first.descriptor.to_json(), "artifactType": "application/vnd.acme.sig"}
    signature = manifest_of(
        {"config": json.loads(second.content)["config"] | {"mediaType": OCI_IMAGE_CONFIG}, **signed}
    )
    async with Store.open(data) as store:
        await hold(store, driver, blobs, [first], "1.0")
        await hold(store, driver, more, [second], "2.0")
        await store.put_manifest(driver, signature)
        members = [
            {**manifest.descriptor.to_json(), "platform": {"os": "linux", "architecture": architecture}}
            for manifest, architecture in ((first, "amd64"), (second, "arm64"))
        ]
        index = manifest_of({"manifests": members}, OCI_INDEX)
        await store.put_manifest(driver, index, [Tag("multi")])


def test_there_and_back_again(tmp_path: Path) -> None:
    """What was imported is exported as it came, and a delta against its receipt is empty."""
    there, here = tmp_path / "there", tmp_path / "here"
    asyncio.run(fill_with_everything(there))

    def export(data: Path, name: str, *options: str) -> Any:
        output = str(tmp_path / name)
        command = ["bundle", "export", "--all", "--unsigned", "--data", str(data), "-o", output, "--json", *options]
        return json.loads(plugin_mirror(*command).stdout)

    first = export(there, "first.tar")
    plugin_mirror("bundle", "import", str(tmp_path / "first.tar"), "--unsigned", "--data", str(here))
    back = export(here, "back.tar")
    receipt = tmp_path / "here.receipt"
    plugin_mirror("bundle", "receipt", "-o", str(receipt), "--data", str(here))
    delta = export(there, "delta.tar", "--since", str(receipt))

    assert len(first["names"]) == 4  # three tags and a signature
    assert back["names"] == first["names"]
    sent, returned = (asyncio.run(verified(tmp_path / name)) for name in ("first.tar", "back.tar"))
    assert sent.layout.blobs()
    assert {placed.member for placed in sent.layout.blobs()} == {placed.member for placed in returned.layout.blobs()}
    assert returned.statement.notes.first_seen == sent.statement.notes.first_seen
    assert {origin.source for origin in returned.statement.notes.origins.values()} == {
        f"bundle:{first['stream']}/acme/driver"
    }
    assert (delta["names"], delta["blobs"]) == ({}, 0)
