"""Tree entries written to a tar and read back."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirror.oci.errors import ManifestInvalid
from mirror.plugin.rootfs.entry import EntryCallback, EntryKind, LayerEntry, Node
from mirror.plugin.rootfs.tar_header import END_OF_TAR, tar_header
from mirror.plugin.rootfs.tar_reader import TarReader
from mirror.plugin.rootfs.tree import TreeEntry
from tests.support.layers import entry, read, tar

LATEST = 2**33


def read_back(content: bytes) -> list[LayerEntry]:
    found: list[LayerEntry] = []
    reader = TarReader(100, EntryCallback(found.append))
    reader.feed(content)
    reader.finish()
    assert reader.problem is None
    return found


_NAME = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in {".", ".."}
)
_RAW = st.binary(min_size=1, max_size=40).map(lambda value: value.decode("utf-8", "surrogateescape"))
_NODES = st.builds(
    Node,
    kind=st.sampled_from([kind for kind in EntryKind if kind is not EntryKind.HARD_LINK]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    modified_seconds=st.integers(0, LATEST),
    xattrs=st.dictionaries(st.sampled_from(["security.capability", "user.a"]), _RAW),
).map(
    lambda node: Node(
        node.kind,
        node.mode,
        node.uid,
        node.gid,
        node.modified_seconds,
        target="a" * 150 if node.kind is EntryKind.SYMLINK else "",
        device=(8, 300) if node.kind.is_device else (0, 0),
        xattrs=node.xattrs,
    )
)


@given(parts=st.lists(_NAME, min_size=1, max_size=5), node=_NODES)
def test_what_is_written_is_read_back(parts: list[str], node: Node) -> None:
    path = "/".join(parts)
    content = tar_header(TreeEntry(path, node), LATEST) + END_OF_TAR
    (info,) = read_back(content)
    assert info.path == path
    info.require_possible()
    found = Node.of(info)
    members = ("kind", "mode", "uid", "gid", "modified_seconds", "target", "device", "xattrs")
    assert [getattr(found, name) for name in members] == [getattr(node, name) for name in members]
    assert read(content).problem is None


def by_the_library(entry: TreeEntry, latest_seconds: int) -> bytes:
    """Return the header that ``tarfile`` writes for an entry."""
    node = entry.node
    info = tarfile.TarInfo(entry.path or ".")
    info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
    info.mtime = max(0, min(node.modified_seconds, latest_seconds))
    if entry.same_as is not None:
        info.type, info.linkname = tarfile.LNKTYPE, entry.same_as
    else:
        info.type, info.linkname, info.size = node.kind.value, node.target, node.size_bytes
        info.devmajor, info.devminor = node.device
        info.pax_headers = {f"SCHILY.xattr.{name}": node.xattrs[name] for name in sorted(node.xattrs)}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _near(*limits: int) -> st.SearchStrategy[int]:
    """Return numbers at the limits of a field, and a few small ones."""
    return st.sampled_from([number + beside for number in (1, 1000, *limits) for beside in (-1, 0, 1)])


#: Around the 100 bytes of a name in a header, and with letters outside ASCII and bytes outside UTF-8.
_PATHS = st.one_of(
    st.integers(1, 110).map(lambda length: ("dir/name-" * 20)[:length]),
    st.lists(_NAME, min_size=1, max_size=3).map("/".join),
    _RAW,
)


@example("a", Node(EntryKind.FILE), (0, 0, 0, 8**11), "", None, 0)
@example("a", Node(EntryKind.FILE), (0, 0, 0, 8**11 - 1), "", None, 0)
@given(
    path=st.just("") | _PATHS,
    node=_NODES,
    numbers=st.tuples(_near(8**7, 2**32 - 2), _near(8**7, 2**32 - 2), _near(0, 8**11), _near(8**11)),
    target=_PATHS,
    same_as=st.none() | _PATHS,
    latest_seconds=st.sampled_from([0, 1, 8**11 - 1, 2**40]),
)
def test_headers_are_those_of_the_library(
    path: str, node: Node, numbers: tuple[int, int, int, int], target: str, same_as: str | None, latest_seconds: int
) -> None:
    """The bytes decide digests, so the fast way to write a header may not differ in one of them."""
    node.uid, node.gid, node.modified_seconds, size_bytes = numbers
    if node.kind is EntryKind.FILE:
        node.size_bytes = size_bytes
    if node.kind is EntryKind.SYMLINK:
        node.target = target
    entry = TreeEntry(path, node, same_as)
    assert tar_header(entry, latest_seconds) == by_the_library(entry, latest_seconds)


def test_a_further_name_is_a_link_and_the_root_a_folder() -> None:
    node = Node(EntryKind.FILE, 0o644, size_bytes=5)
    root, linked = read_back(
        tar_header(TreeEntry("", Node(EntryKind.FOLDER, 0o711)), 0)
        + tar_header(TreeEntry("b", node, "a"), 0)
        + END_OF_TAR
    )
    assert (root.path, root.kind, root.mode) == (".", EntryKind.FOLDER, 0o711)
    assert (linked.kind, linked.target, linked.size_bytes) == (EntryKind.HARD_LINK, "a", 0)


def test_no_time_is_later_than_what_is_said() -> None:
    (info,) = read_back(
        tar_header(TreeEntry("a", Node(EntryKind.FILE, 0, modified_seconds=1_500_000_000)), 9) + END_OF_TAR
    )
    assert info.modified_seconds == 9


IMPOSSIBLE = {
    "owner": entry("a", form=tarfile.PAX_FORMAT, pax={"uid": "4294967296"}),
    "no-target": entry("a", kind=tarfile.SYMTYPE),
    "sparse": entry(
        "a", b"0\n" + bytes(510), form=tarfile.PAX_FORMAT, pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    ),
    "attribute": entry("a", form=tarfile.PAX_FORMAT, pax={"SCHILY.xattr.user.a": "x" * 70_000}),
}


@pytest.mark.parametrize("content", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_no_file_can_have_is_refused(content: bytes) -> None:
    (info,) = read_back(tar(content))
    with pytest.raises(ManifestInvalid):
        info.require_possible()


@pytest.mark.parametrize("said", ["-5", "99999999999"])
def test_a_time_that_means_nothing_is_the_first(said: str) -> None:
    (info,) = read_back(tar(entry("a", form=tarfile.PAX_FORMAT, pax={"mtime": said})))
    assert Node.of(info).modified_seconds == 0
