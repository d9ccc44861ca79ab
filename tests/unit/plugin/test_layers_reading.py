"""Readings of layers: what is written is read again, whatever it is, and nothing else is."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Digest
from mirror.plugin.reading import layers_reading
from mirror.plugin.reading.layers_reading import LayersReading, read_reading, reading_version, write_reading
from mirror.plugin.reading.typed_values import form_of
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.plugin.rootfs.layer_limits import LayerLimits
from mirror.plugin.rootfs.program import Program
from mirror.plugin.rootfs.root_filesystem import Rootfs
from mirror.plugin.rootfs.tree import Tree
from tests.support.rootfs import elf, file, folder, link, rootfs

#: Texts from a tar: any bytes, as Python reads them.
TEXTS = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
NAMES = TEXTS.map(lambda text: text.replace("/", "_")).filter(lambda text: text not in {"", ".", ".."})
NUMBERS = st.integers(0, 2**63)
DIGESTS = st.binary(max_size=8).map(Digest.of)


def nodes(kinds: st.SearchStrategy[EntryKind]) -> st.SearchStrategy[Node]:
    return st.builds(
        Node,
        kind=kinds,
        mode=st.integers(0, 0o7777),
        uid=NUMBERS,
        gid=NUMBERS,
        modified_seconds=NUMBERS,
        size_bytes=NUMBERS,
        target=TEXTS,
        device=st.tuples(NUMBERS, NUMBERS),
        xattrs=st.dictionaries(TEXTS, TEXTS, max_size=2),
        content=st.none(),
        program=st.none() | st.from_type(Program),
        digest=st.none() | DIGESTS.map(lambda digest: digest.hex),
        layer=st.integers(0, 5),
    )


LEAVES = nodes(
    st.sampled_from(sorted(set(EntryKind) - {EntryKind.FOLDER, EntryKind.HARD_LINK}, key=lambda one: one.value))
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree = Tree()
    tree.root = draw(nodes(st.just(EntryKind.FOLDER)))
    tree.whole = draw(st.booleans())
    folders = [tree.root, *draw(st.lists(nodes(st.just(EntryKind.FOLDER)), max_size=4))]
    for number, one in enumerate(folders[1:]):
        folders[draw(st.integers(0, number))].children[f"{number}{draw(NAMES)}"] = one
    leaves = draw(st.lists(LEAVES, min_size=1, max_size=4))
    # Several names for one node are hard links.
    for name in draw(st.lists(NAMES, max_size=8)):
        draw(st.sampled_from(folders)).children.setdefault(name, draw(st.sampled_from(leaves)))
    return tree


READINGS = st.builds(
    LayersReading,
    st.none()
    | st.builds(
        Rootfs,
        tree=trees(),
        mentioned=st.frozensets(st.binary(max_size=5), max_size=3),
        whiteouts=st.lists(TEXTS, max_size=3).map(tuple),
        links_broken=st.lists(TEXTS, max_size=3).map(tuple),
        too_long=st.lists(TEXTS, max_size=3).map(tuple),
    ),
    st.dictionaries(DIGESTS, st.builds(LayerFacts, diff_id=st.none() | DIGESTS), max_size=3),
)


def described(tree: Tree) -> list[object]:
    """Return everything about a tree: paths, fields, and the paths that are one node."""
    first: dict[int, str] = {}
    everything = [("", tree.root), *tree.walk()]
    plain = [field.name for field in fields(Node) if field.name != "children"]
    return [
        (path, first.setdefault(id(node), path), [getattr(node, name) for name in plain]) for path, node in everything
    ]


def same(one: LayersReading, other: LayersReading) -> bool:
    if (one.rootfs is None) != (other.rootfs is None) or one.facts != other.facts:
        return False
    if one.rootfs is None or other.rootfs is None:
        return True
    plain = [field.name for field in fields(Rootfs) if field.name != "tree"]
    return (
        described(one.rootfs.tree) == described(other.rootfs.tree)
        and one.rootfs.tree.whole is other.rootfs.tree.whole
        and all(getattr(one.rootfs, name) == getattr(other.rootfs, name) for name in plain)
    )


def written(reading: LayersReading) -> bytes:
    document = write_reading(reading)
    assert document is not None
    return document


@given(READINGS)
def test_what_is_written_is_read_again(reading: LayersReading) -> None:
    read = read_reading(written(reading))
    assert read is not None
    assert same(read, reading)


def real() -> LayersReading:
    files = rootfs(
        folder("bin"),
        file("bin/driver", elf(loader="/lib/ld.so", needed=["libc.so"])),
        link("bin/again", "bin/driver", EntryKind.HARD_LINK),
        file("start.sh", b"#!/bin/sh -e\nexec /bin/driver\n"),
        link("sbin", "bin"),
        names=[b"driver"],
    )
    return LayersReading(files, {Digest.of(b"x"): LayerFacts(1, True, Digest.of(b"y"), 2, 3)})


def test_a_real_root_filesystem() -> None:
    reading = real()
    read = read_reading(written(reading))
    assert read is not None
    assert read.rootfs is not None
    assert same(read, reading)
    assert read.rootfs.tree.find("/sbin/again") is not None


@given(st.binary(max_size=100))
def test_other_bytes_are_no_reading(raw: bytes) -> None:
    assert read_reading(raw) is None


def spoilt(value: Any, other: object) -> Iterator[Any]:
    """Yield copies of a JSON value with another value in one place."""
    yield other
    for key in list(value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()):
        for changed in spoilt(value[key], other):
            copy = value.copy()
            copy[key] = changed
            yield copy


@pytest.mark.parametrize("other", [None, -1, 7, 10**30, 1.5, True, "", "a/b", "..", [], [[0, 1]], {}])
def test_a_document_with_another_value_in_any_place_raises_nothing(other: object) -> None:
    value = [json.loads(line) for line in zlib.decompress(written(real())).splitlines()]
    for changed in spoilt(value, other):
        lines = changed if isinstance(changed, list) else [changed]
        read = read_reading(zlib.compress(b"\n".join(json.dumps(line).encode() for line in lines)))
        assert read is None or read.rootfs is None or list(read.rootfs.tree.entries())


@pytest.mark.parametrize(
    ("line", "at", "other"),
    [
        (3, 1, ""),
        (3, 1, ".."),
        (3, 1, "a/b"),
        (3, 4, "sbin"),
        (4, 0, 1),
        (6, slice(0, 1), [["FILE", 1], ["FOLDER", 1]]),
    ],
    ids=["no name", "above", "two names", "twice", "nowhere", "the root is a file"],
)
def test_a_tree_that_no_layers_have_is_no_reading(line: int, at: int | slice, other: object) -> None:
    values = [json.loads(text) for text in zlib.decompress(written(real())).splitlines()]
    assert read_reading(zlib.compress(b"\n".join(json.dumps(value).encode() for value in values))) is not None
    values[line][at] = other
    assert read_reading(zlib.compress(b"\n".join(json.dumps(value).encode() for value in values))) is None


@pytest.mark.parametrize("kept", [0, 1, 10, -1])
def test_a_document_that_is_cut_off_is_no_reading(kept: int) -> None:
    assert read_reading(written(real())[:kept]) is None


def test_a_document_that_would_be_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    size_bytes = len(written(real()))
    monkeypatch.setattr(layers_reading, "MOST_DOCUMENT_BYTES", size_bytes)
    assert write_reading(real()) is not None
    monkeypatch.setattr(layers_reading, "MOST_DOCUMENT_BYTES", size_bytes - 1)
    assert write_reading(real()) is None


def test_a_document_that_unpacks_to_too_much_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    document = written(real())
    monkeypatch.setattr(layers_reading, "_MOST_TEXT_BYTES", len(zlib.decompress(document)) - 1)
    assert read_reading(document) is None
    assert write_reading(real()) is None


def test_other_code_limits_and_searched_names_are_another_version() -> None:
    versions = {
        reading_version("1", LayerLimits(), [b"a"]),
        reading_version("2", LayerLimits(), [b"a"]),
        reading_version("1", LayerLimits(layers=1), [b"a"]),
        reading_version("1", LayerLimits(), [b"b"]),
        reading_version("1", LayerLimits(), [b"a", b"b"]),
        reading_version("1", LayerLimits(), []),
    }
    assert len(versions) == 6
    assert reading_version("1", LayerLimits(), [b"a"]) in versions


@pytest.mark.parametrize("kind", [float, dict, list[int], int | str, object])
def test_a_type_without_a_written_form(kind: object) -> None:
    with pytest.raises(TypeError, match="has no written form"):
        form_of(kind)
