"""Bundles in parts, and bundles that are fetched from a registry. The commands are killed at random points too."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.verification import verify_bytes
from mirror.oci import Digest, Repository, Tag
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import SilentProgress
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import PROGRAM, plugin_mirror
from tests.harness.packing import MANIFEST_TYPE
from tests.harness.pushing import push_blob as push_over_http
from tests.harness.pushing import send
from tests.support.builders import push_blob
from tests.support.bundles import small_plugin
from tests.support.killing import kill_at_random_points
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import DRIVER

pytestmark = pytest.mark.e2e

LAYER_BYTES = 6 * 1024 * 1024
PART_BYTES = 5_000_000
NAMES = [f"acme/driver{number}" for number in range(1, 4)]


def contents(number: int):
    """Return the manifest and the blobs of a plugin with a layer of its own."""
    data = random.Random(number).randbytes(LAYER_BYTES)
    driver = entry("bin/driver", DRIVER, mode=0o755)
    return small_plugin(zipped(tar(driver, entry("data", data)), level=0), Description=str(number))


async def fill(data: Path) -> None:
    async with Store.open(data) as store:
        for number, name in enumerate(NAMES):
            manifest, blobs = contents(number)
            for blob in blobs:
                await push_blob(store, blob, Repository(name))
            await store.put_manifest(Repository(name), manifest, [Tag("1.0")])


async def held(data: Path) -> list[Digest]:
    """Return the digests of the plugins in a data folder, which are complete."""
    async with Store.open(data) as store:
        return [(await store.get_manifest(Repository(name), Tag("1.0"))).digest for name in NAMES]


async def require_right(path: Path) -> None:
    """Compare every byte of a bundle with its statement, and its parts with their table."""
    source = await open_source(path)
    await verify_bytes(await read_head(source), source, SilentProgress())


def require_right_parts(table_file: Path) -> None:
    table = json.loads(table_file.read_text())
    for part in table["parts"]:
        content = (table_file.parent / part["name"]).read_bytes()
        assert len(content) == part["size_bytes"]
        assert hashlib.sha256(content).hexdigest() == part["sha256"]
    asyncio.run(require_right(table_file))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "data"
    asyncio.run(fill(folder))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "site.tar"
    plugin_mirror("bundle", "export", "--data", str(data), "-o", str(path), "--all", "--unsigned")
    return path


def kill(argv: list[str], kills: int, result: Path, check: Callable[[Path], None], begun: Path) -> None:
    """Kill a command again and again. Its result is right whenever it is there."""

    def afresh() -> None:
        for path in result.parent.iterdir():
            path.unlink()

    kill_at_random_points(
        [PROGRAM, *argv],
        kills=kills,
        seed=14,
        check=lambda: check(result) if result.exists() else None,
        afresh=afresh,
        begun=begun.exists,
    )
    assert result.exists()
    assert [path for path in result.parent.iterdir() if "partial" in path.name or "joining" in path.name] == []


def test_kills_of_a_split(tmp_path: Path, bundle: Path, kills: int) -> None:
    argv = ["bundle", "split", str(bundle), "-o", str(tmp_path), "--size", str(PART_BYTES)]
    kill(argv, kills, tmp_path / "site.tar.parts.json", require_right_parts, tmp_path / "site.tar.part-001.partial")


def test_kills_of_a_join(tmp_path: Path, bundle: Path, kills: int) -> None:
    parts = tmp_path / "parts"
    plugin_mirror("bundle", "split", str(bundle), "-o", str(parts), "--size", str(PART_BYTES))
    whole = tmp_path / "whole" / "site.tar"
    whole.parent.mkdir()

    def check(path: Path) -> None:
        assert path.read_bytes() == bundle.read_bytes()

    argv = ["bundle", "join", str(parts / "site.tar.part-002"), "-o", str(whole)]
    kill(argv, kills, whole, check, whole.with_name("site.tar.joining"))


def test_kills_of_an_export_in_parts(tmp_path: Path, data: Path, kills: int) -> None:
    argv = ["bundle", "export", "--data", str(data), "-o", str(tmp_path / "site.tar"), "--all", "--unsigned"]
    argv += ["--split", str(PART_BYTES), "--stream", "killed"]
    kill(argv, kills, tmp_path / "site.tar.parts.json", require_right_parts, tmp_path / "site.tar.part-001")


def test_drives_are_imported_one_after_the_other(tmp_path: Path, data: Path) -> None:
    order = (0, 3, 1, 2)  # content goes on in the part after the last one, and in the one before
    made = tmp_path / "made"
    made.mkdir()
    options = ["--all", "--unsigned", "--split", str(PART_BYTES), "--stream", "drives"]
    plugin_mirror("bundle", "export", "--data", str(data), "-o", str(made / "site.tar"), *options)
    parts = sorted(made.glob("site.tar.part-*"))
    assert len(parts) == len(order)
    store = tmp_path / "data"
    for place in order:
        drive = tmp_path / f"drive-{place}"
        drive.mkdir()
        parts[place].rename(drive / parts[place].name)
        (drive / "site.tar.parts.json").write_bytes((made / "site.tar.parts.json").read_bytes())

        argv = ["bundle", "import", str(drive / "site.tar"), "--unsigned", "--data", str(store)]
        done = plugin_mirror(*argv, check=place == order[-1])

        if place != order[-1]:
            assert done.exit_code == 1
            assert "is missing" in done.stderr
        (drive / parts[place].name).unlink()  # the drive is pulled out
    assert asyncio.run(held(store)) == [contents(number)[0].digest for number in range(len(NAMES))]


def test_kills_of_a_fetch(tmp_path: Path, registry: DockerRegistry, kills: int) -> None:
    for number, name in enumerate(NAMES):
        manifest, blobs = contents(number)
        for blob in blobs:
            push_over_http(f"{registry.url}/v2/{name}", blob)
        send("PUT", f"{registry.url}/v2/{name}/manifests/1.0", manifest.content, MANIFEST_TYPE)
    key, site = tmp_path / "key", tmp_path / "site"
    site.mkdir()
    plugin_mirror("bundle", "keygen", str(key))
    references = [f"{registry.host}/{name}:1.0" for name in NAMES]

    def check(path: Path) -> None:
        asyncio.run(require_right(path))

    argv = ["fetch", "-o", str(site / "site.tar"), "--key", str(key), *references]
    kill(argv, kills, site / "site.tar", check, site / "site.tar.partial")
    plugin_mirror("bundle", "verify", str(site / "site.tar"), "--key", f"{key}.pub")
    store = tmp_path / "data"
    argv = ["bundle", "import", str(site / "site.tar"), "--key", f"{key}.pub", "--data", str(store)]
    plugin_mirror(*argv, "--map", "acme/*=site/*")
    receipt = tmp_path / "receipt"
    plugin_mirror("bundle", "receipt", "-o", str(receipt), "--data", str(store))

    delta = site / "delta.tar"
    plugin_mirror("fetch", "-o", str(delta), "--key", str(key), "--since", str(receipt), *references)

    assert delta.stat().st_size <= 64 * 1024
    argv = ["bundle", "import", str(delta), "--key", f"{key}.pub", "--data", str(store), "--map", "acme/*=site/*"]
    done = plugin_mirror(*argv, check=False)
    # An unchanged delta has no name that the mapping could cover. It follows no counted bundle, so none is lost.
    assert done.exit_code == 0, done.stderr
    assert "warning" not in done.stderr
