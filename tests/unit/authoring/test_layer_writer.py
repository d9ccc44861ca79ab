"""Layers that are written: their facts are those that reading them finds, or they are not ordinary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.authoring.files import layer_writer
from mirror.authoring.files.layer_writer import LayerWriting
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import TreeEntry
from tests.support.layers import read

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Held:
    """The content of a file in memory."""

    content: bytes

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.content), _MIB):
            yield self.content[start : start + _MIB]


def file(path: str, content: bytes, **xattrs: str) -> TreeEntry:
    return TreeEntry(path, Node(EntryKind.FILE, 0o644, size_bytes=len(content), content=Held(content), xattrs=xattrs))


def written(*entries: TreeEntry) -> tuple[LayerWriting, bytes]:
    writing = LayerWriting(entries, 0, lambda _: None)
    return writing, b"".join(writing.chunks())


@given(
    files=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 2), st.booleans()), max_size=20),
    large=st.sampled_from([0, _MIB - 1536, _MIB - 1024, _MIB, 2 * _MIB + 1]),
)
def test_facts_are_those_of_a_reader(files: list[tuple[int, int, bool]], large: int) -> None:
    entries = [TreeEntry("", Node(EntryKind.FOLDER)), file("large", os.urandom(large))]
    for number, (size_bytes, attributes, linked) in enumerate(files):
        xattrs = {f"user.{name}": "é" for name in range(attributes)}
        entries.append(file(f"{number}-é" * (number + 1), bytes(size_bytes), **xattrs))
        if linked:
            entries.append(TreeEntry(f"link-{number}", entries[-1].node, entries[-1].path))
    writing, layer = written(*entries)
    assert writing.is_ordinary
    assert read(layer) == writing.facts


def test_a_layer_that_is_dense_at_any_place_is_not_ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole may be ordinary, but a reader stops where a limit is met."""
    monkeypatch.setattr(layer_writer, "ALLOWANCE_BYTES", 10 * _MIB)
    content = os.urandom(4 * _MIB)
    assert not written(file("zeros", bytes(20 * _MIB)), file("random", content))[0].is_ordinary
    assert written(file("random", content), file("zeros", bytes(20 * _MIB)))[0].is_ordinary


def test_a_layer_with_large_attributes_is_not_ordinary() -> None:
    large = {f"user.{number}": "x" * 60_000 for number in range(20)}
    writing, layer = written(file("a", b"a", **large))
    assert read(layer).problem is not None
    assert not writing.is_ordinary
    assert written(file("a", b"a", **dict(list(large.items())[:3])))[0].is_ordinary


def test_folders_alone_are_written_in_blocks() -> None:
    """Memory stays bounded without any content, too."""
    folders = [TreeEntry(str(number), Node(EntryKind.FOLDER)) for number in range(10_000)]
    writing = LayerWriting(folders, 0, lambda _: None)
    assert max(map(len, writing._blocks())) == _MIB
    assert read(written(*folders)[1]).entries == 10_000


@pytest.mark.parametrize("name", ["user.\udcff", "user.a=b"])
def test_an_attribute_that_a_tar_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ManifestInvalid, match="cannot hold the name of the extended attribute"):
        written(TreeEntry("", Node(EntryKind.FOLDER)), file("a", b"", **{name: "b"}))
