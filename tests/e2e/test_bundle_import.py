"""``plugin-mirror bundle import`` as a user runs it, also killed at random points."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from mirror.oci import Digest, Manifest
from tests.harness.mirror import PROGRAM, plugin_mirror
from tests.support.bundles import small_plugin
from tests.support.importing_site import Site
from tests.support.killing import kill_at_random_points
from tests.support.layers import entry, tar, zipped
from tests.support.plugins import DRIVER
from tests.torture.inspection import expire, leftovers

pytestmark = pytest.mark.e2e

NAMES = [f"acme/driver{number}:1.0" for number in range(1, 7)]
LAYER_BYTES = 3 * 1024 * 1024


def release(version: int) -> tuple[dict[str, Manifest], list[bytes]]:
    """Return six plugins that share one layer, and their blobs."""
    shared = _layer(version * 100)
    plugins = {name: small_plugin(shared, _layer(version * 100 + place)) for place, name in enumerate(NAMES, 1)}
    contents = [blob for _, blobs in plugins.values() for blob in blobs]
    return {name: manifest for name, (manifest, _) in plugins.items()}, contents


def digests(manifests: dict[str, Manifest]) -> dict[str, Digest]:
    return {name: manifest.digest for name, manifest in manifests.items()}


def test_kills_at_random_points(tmp_path: Path, kills: int) -> None:
    site, before = Site(tmp_path), tmp_path / "before"
    (old, old_blobs), (new, new_blobs) = release(1), release(2)
    first, _ = site.bundle(old, old_blobs, serial=1)
    second, _ = site.bundle(new, new_blobs, serial=2)
    options = ["--key", str(site.key), "--data", str(site.data)]
    plugin_mirror("bundle", "import", str(first), *options)
    shutil.copytree(site.data, before)
    seen: list[dict[str, Digest]] = []

    def check() -> None:
        """Check that all tags are the old ones, or all the new ones, and that their content is whole."""
        seen.append(asyncio.run(site.tags(*NAMES)))
        assert seen[-1] in (digests(old), digests(new))

    def afresh() -> None:
        shutil.rmtree(site.data)
        shutil.copytree(before, site.data)

    argv = [PROGRAM, "bundle", "import", str(second), *options]
    done = kill_at_random_points(
        argv, kills=kills, seed=14, check=check, afresh=afresh, begun=lambda: _any(site.data.glob("uploads/sha256-*"))
    )
    assert done.exit_code == 0
    assert seen[-1] == digests(new)
    # No bytes are left of the interrupted runs. A kill after the commit of a blob leaves a folder, which expires.
    assert sum(data.stat().st_size for data in site.data.glob("uploads/*/data")) == 0
    asyncio.run(expire(site.data))
    assert leftovers(site.data) == []


def test_a_refused_plugin_is_told_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    plugin, blobs = small_plugin(b"neither gzip nor a tar")
    path, _ = site.bundle({"acme/driver:1.0": plugin}, blobs)
    done = plugin_mirror("bundle", "import", str(path), "--key", str(site.key), "--data", str(site.data), check=False)
    assert done.exit_code == 1
    assert (done.stdout + done.stderr).count("neither gzip nor a tar") == 1
    assert re.fullmatch(r"note: data folder created \(.*\)\n", done.stderr)


def _layer(seed: int) -> bytes:
    content = random.Random(seed).randbytes(LAYER_BYTES)
    return zipped(tar(entry("bin/driver", DRIVER, mode=0o755), entry("data", content)), level=0)


def _any(paths: Iterable[Path]) -> bool:
    return next(iter(paths), None) is not None
