"""Layers with whiteouts, links and unusual names: engines unpack them into the tree that we predict."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence

import pytest

from mirror.oci.errors import ManifestInvalid
from mirror.plugin.rootfs.entry import LayerEntry
from mirror.plugin.rootfs.tree import Tree
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import packed_from
from tests.harness.pushing import push
from tests.support.layer_cases import BELOW, CASES, file, folder, link, symlink
from tests.support.layers import tar, zipped

pytestmark = pytest.mark.e2e

CONFIG = b'{"Entrypoint": ["/driver"], "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "driver.sock"}}'
LAYERS = {name: [*BELOW, *layer] for name, (layer, _) in CASES.items()} | {
    "plain": BELOW,
    "below-a-file": [file("a"), file("a/b")],
    "whiteout-below-a-file": [file("a"), file("a/.wh.b")],
    "dangling": [symlink("a", "/usr"), file("a/lib/x")],
    "loop": [symlink("a", "b"), symlink("b", "a"), file("a/x")],
    "link-to-nothing": [link("b", "a")],
    "link-to-folder": [folder("a"), link("b", "a")],
    "link-to-what-it-replaces": [file("a"), link("a", "a")],
    "whiteout-of-a-whiteout": [file("a/.wh..wh.x"), file("a/b")],
}


def written(entry: LayerEntry) -> bytes:
    """Return the tar header of an entry."""
    info = tarfile.TarInfo(entry.path)
    info.type, info.mode, info.linkname = entry.kind.value, entry.mode, entry.target
    return info.tobuf(tarfile.GNU_FORMAT)


def foreseen(layer: Sequence[LayerEntry]) -> list[str] | None:
    """Return the predicted paths of a layer, or None if the layer cannot be unpacked."""
    tree = Tree()
    try:
        tree.apply((entry, None) for entry in layer)
    except ManifestInvalid:
        return None
    return sorted(path for path, _ in tree.walk())


@pytest.mark.parametrize("name", LAYERS)
def test_an_engine_unpacks_what_is_foreseen(engine: Engine, mirror: Mirror, name: str) -> None:
    layer = LAYERS[name]
    push(packed_from(CONFIG, zipped(tar(*map(written, layer)))), mirror.url, f"unpacked/{name}", "1")
    reference = f"{mirror.host}/unpacked/{name}:1"
    installed = engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference, check=False)
    if installed.exit_code != 0:
        assert foreseen(layer) is None, installed.stderr
        return
    rootfs = engine.folder / "data/plugins" / engine.inspect_plugin(reference)["Id"] / "rootfs"
    found = [str(path.relative_to(rootfs)) for path in rootfs.rglob("*")]
    found = [path for path in found if not path.startswith(".wh..wh.")]  # engines leave empty metadata folders behind
    assert sorted(found) == foreseen(layer)
