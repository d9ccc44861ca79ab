"""``plugin-mirror scrub`` and the background work of a server: damage is found and healed."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.store.registry import Store
from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.packing import PackedPlugin, digest_of, pack
from tests.harness.pulling import NAME, TAG, manifest, sections, take
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.support.builders import push_blob
from tests.support.bundles import small_plugin
from tests.support.damage import file_of, flip_a_bit

pytestmark = pytest.mark.e2e

DRIVER = Repository("acme/driver")
LAYER_BYTES = 1_000_000


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("packed") / "plugin", payload_size_bytes=1_200_000))


def damaged(data: Path, digest: str) -> Path:
    """Flip a bit of content, and return its file."""
    file = file_of(data, Digest.parse(digest))
    flip_a_bit(file)
    return file


async def fill(data: Path, layers: int = 1) -> list[Digest]:
    """Store a plugin with layers of their own, and return the digests of its layers."""
    contents = [random.Random(number).randbytes(LAYER_BYTES) for number in range(layers)]
    plugin, blobs = small_plugin(*contents)
    async with Store.open(data) as store:
        for blob in blobs:
            await push_blob(store, blob, DRIVER)
        await store.put_manifest(DRIVER, plugin, [Tag("1.0")])
    return [Digest.of(content) for content in contents]


def test_damage_is_healed_from_the_upstream_beside_a_server(packed: PackedPlugin) -> None:
    require(DockerRegistry.missing())
    with DockerRegistry() as upstream:
        push(packed, upstream.url, NAME, TAG)
        with Mirror(sections=sections(upstream.url)) as mirror:
            assert manifest(mirror.url)[0] == 200
            for digest in (packed.layer_digest, digest_of(packed.config)):
                assert take(mirror.port, digest).status == 200
            wait_until(lambda: not mirror.command("scrub").exit_code, "all blobs to be stored")
            damaged(mirror.data, packed.layer_digest)
            damaged(mirror.data, digest_of(packed.manifest))
            found = mirror.command("scrub", check=False)
            # The server heals what the command has found, and the command tells of that as "from the disk".
            assert (found.exit_code, found.stdout.count("\n  healed from ")) == (1, 2), found.stdout
            assert "; 2 healed, 0 still damaged\n" in found.stdout
            assert take(mirror.port, packed.layer_digest).content == packed.layer
            assert mirror.command("scrub").stdout.endswith("; nothing is damaged\n")


def test_a_read_that_finds_damage_has_it_healed_by_the_server(packed: PackedPlugin) -> None:
    require(DockerRegistry.missing())
    with DockerRegistry() as upstream:
        push(packed, upstream.url, NAME, TAG)
        with Mirror(workers=2, sections=sections(upstream.url)) as mirror:
            assert manifest(mirror.url)[0] == 200
            assert take(mirror.port, packed.layer_digest).status == 200
            file = file_of(mirror.data, Digest.parse(packed.layer_digest))
            wait_until(file.exists, "the blob to be stored")
            file.unlink()
            # The download may still be served from its open file.
            wait_until(lambda: take(mirror.port, packed.layer_digest).status == 500, "a read to fail")
            healed = "the server to heal the blob"
            wait_until(lambda: any(line["event"] == "damaged content healed" for line in mirror.log), healed)
            assert take(mirror.port, packed.layer_digest).content == packed.layer


def test_a_bundle_heals_what_no_upstream_has(tmp_path: Path) -> None:
    data, bundle = tmp_path / "data", tmp_path / "site.tar"
    (layer,) = asyncio.run(fill(data))
    plugin_mirror("bundle", "export", "--data", str(data), "-o", str(bundle), "--all", "--unsigned", "--stream", "s")
    damaged(data, str(layer))
    alone = plugin_mirror("scrub", "--data", str(data), check=False)
    first, *lines = alone.stdout.splitlines()
    assert (alone.exit_code, first) == (1, "3 files read, 977.3 KiB; 0 healed, 1 still damaged")
    assert lines == [
        str(layer),
        "  damaged: the bytes have another digest",
        "  not healed: nothing that may be asked has it",
        "  breaks acme/driver:1.0",
        "  fix: push it again, or run 'plugin-mirror scrub --from BUNDLE' with a bundle that has it",
    ]
    healed = json.loads(
        plugin_mirror("scrub", "--from", str(bundle), "--json", "--data", str(data), check=False).stdout
    )
    assert [(each["digest"], each["healed_from"]) for each in healed["damaged"]] == [(str(layer), str(bundle))]
    assert plugin_mirror("scrub", "--data", str(data)).exit_code == 0


def test_no_upstream_is_asked_offline(packed: PackedPlugin) -> None:
    require(DockerRegistry.missing())
    with DockerRegistry() as upstream:
        push(packed, upstream.url, NAME, TAG)
        with Mirror(sections=sections(upstream.url)) as mirror:
            assert manifest(mirror.url)[0] == 200
            assert take(mirror.port, packed.layer_digest).status == 200
            data = mirror.data
            wait_until(file_of(data, Digest.parse(packed.layer_digest)).exists, "the blob to be stored")
            damaged(data, packed.layer_digest)
            offline = mirror.folder / "offline.yaml"
            offline.write_text(json.dumps({**sections(upstream.url), "offline": True}))
            arguments = "scrub", "--json", "--config", str(offline), "--data", str(data)
            (left,) = json.loads(plugin_mirror(*arguments, check=False).stdout)["damaged"]
            assert (left["healed_from"], left["error"]) == (None, "nothing that may be asked has it")


def test_a_killed_scrub_goes_on_where_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    asyncio.run(fill(data, layers=12))

    def is_kept() -> bool:
        with closing(sqlite3.connect(data / "catalog.sqlite")) as catalog:
            return bool(catalog.execute("SELECT 1 FROM long_work WHERE position > ''").fetchall())

    with subprocess.Popen([PROGRAM, "scrub", "--rate", "1MB/s", "--data", str(data)]) as scrub:
        wait_until(is_kept, "the position to be kept")
        scrub.send_signal(signal.SIGKILL)
    again = json.loads(plugin_mirror("scrub", "--json", "--data", str(data)).stdout)
    assert (again["files"], again["damaged"]) == (14, [])
    assert again["went_on_after_bytes"] > 0
