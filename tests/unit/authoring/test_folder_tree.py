"""A folder on this machine as entries of a tree: their order, links, open files, and files that change."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.authoring.files import folder_tree
from mirror.authoring.files.folder_tree import FileBelow, FolderWalk
from mirror.authoring.files.safe_files import open_folder
from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.plugin.rootfs.entry import EntryKind, LayerEntry
from mirror.plugin.rootfs.tree import Tree, TreeEntry


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def walk(folder: Path, stack: ExitStack) -> FolderWalk:
    root = open_folder(folder)
    stack.callback(os.close, root)
    return FolderWalk(root, folder, stack, owners=True)


def open_files() -> list[Path]:
    return sorted(Path("/proc/self/fd").iterdir())


def told(entry: TreeEntry) -> tuple[object, ...]:
    node = entry.node
    described = node.kind, node.mode, node.uid, node.modified_seconds, node.size_bytes, node.target
    return entry.path, entry.same_as, described, dict(node.xattrs)


def read(entry: TreeEntry) -> bytes:
    assert entry.node.content is not None
    return b"".join(entry.node.content.chunks())


#: Names whose order as text differs from the order of the paths below them.
_NAMES = st.sampled_from(["a", "a.b", "a-b", "a0", "A", "b", "é", "zz"])
_FILES = st.dictionaries(st.lists(_NAMES, min_size=1, max_size=4).map("/".join), st.integers(0, 3), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=_FILES, links=st.lists(st.tuples(st.integers(0, 11), _NAMES), max_size=3))
def test_entries_are_those_of_a_tree(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, int], links: list[tuple[int, str]]
) -> None:
    """The order and the links of a tree decide the digest of a plugin."""
    folder = tmp_path_factory.mktemp("tree")
    for path, size_bytes in files.items():
        file = folder / path
        if not any(above.is_file() for above in file.parents) and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes(size_bytes))
    made = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, name in links:
        if made and not (folder / name).exists():
            (folder / name).hardlink_to(made[number % len(made)])
    with ExitStack() as stack:
        found = list(walk(folder, stack).entries())
        tree = Tree()
        tree.apply((LayerEntry.of(*entry), entry.node.content) for entry in found)
        assert [told(entry) for entry in tree.entries()] == [told(entry) for entry in found]
        assert walk(folder, stack).size_bytes() == sum(one.node.size_bytes for one in found if one.same_as is None)


def test_entries_hold_what_the_files_say(folder: Path, stack: ExitStack) -> None:
    (folder / "file").write_bytes(b"content")
    (folder / "file").chmod(0o4711)
    os.utime(folder / "file", (1, 1_500_000_000.9))
    os.setxattr(folder / "file", "user.a", b"\xff")
    os.setxattr(folder, "user.b", b"b")
    (folder / "link").symlink_to("nowhere")
    root, file, link = walk(folder, stack).entries()
    assert (root.path, root.node.kind, root.node.xattrs) == ("", EntryKind.FOLDER, {"user.b": "b"})
    status = (folder / "file").stat()
    assert told(file) == (
        "file",
        None,
        (EntryKind.FILE, 0o4711, status.st_uid, 1_500_000_000, 7, ""),
        {"user.a": "\udcff"},
    )
    assert (link.node.kind, link.node.target) == (EntryKind.SYMLINK, "nowhere")


@pytest.mark.parametrize("size_bytes", [0, 1, 1024 * 1024, 1024 * 1024 + 1])
def test_contents_can_be_read_during_the_walk_and_later(folder: Path, stack: ExitStack, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    (folder / "a").write_bytes(content)
    (folder / "b").write_bytes(b"b")
    entries = walk(folder, stack).entries()
    next(entries)
    file = next(entries)
    # Twice, because a content may be read more than once.
    assert (read(file), read(file)) == (content, content)
    list(entries)
    assert read(file) == content


def test_a_file_is_taken_with_the_length_at_its_opening(folder: Path, stack: ExitStack) -> None:
    (folder / "log").write_text("before")
    entries = walk(folder, stack).entries()
    next(entries)
    log = next(entries)
    with (folder / "log").open("a") as more:
        more.write(", and after")
    assert (log.node.size_bytes, read(log)) == (6, b"before")
    list(entries)
    with pytest.raises(ConfigurationFault, match="log changed while it was read"):
        read(log)


@pytest.mark.parametrize("size_bytes", [10, 3 * 1024 * 1024])
def test_a_file_that_becomes_shorter_is_told(folder: Path, stack: ExitStack, size_bytes: int) -> None:
    (folder / "a").write_bytes(bytes(size_bytes))
    entries = walk(folder, stack).entries()
    next(entries)
    file = next(entries)
    os.truncate(folder / "a", 5)
    with pytest.raises(ConfigurationFault, match="a is truncated, or changed while it was read"):
        read(file)


@pytest.mark.parametrize("instead", ["link", "folder", "pipe", "nothing"])
def test_what_takes_the_place_of_a_file_is_not_read(folder: Path, stack: ExitStack, instead: str) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder / "a").touch()
    (folder / "b").write_text("b")
    entries = walk(folder, stack).entries()
    next(entries), next(entries)
    (folder / "b").unlink()
    makers = {
        "link": lambda: (folder / "b").symlink_to("../secret"),
        "folder": (folder / "b").mkdir,
        "pipe": lambda: os.mkfifo(folder / "b"),
        "nothing": lambda: None,
    }
    makers[instead]()
    with pytest.raises(ConfigurationFault, match=r"folder/b (cannot be read|changed while it was read)"):
        next(entries)


def test_a_folder_that_is_replaced_by_a_link_is_not_entered(folder: Path, stack: ExitStack) -> None:
    (folder.parent / "secret").mkdir()
    (folder.parent / "secret/b").touch()
    (folder / "a").mkdir()
    entries = walk(folder, stack).entries()
    next(entries), next(entries)
    (folder / "a").rmdir()
    (folder / "a").symlink_to("../secret")
    with pytest.raises(ConfigurationFault, match="folder/a cannot be read"):
        list(entries)


def test_deep_folders_need_few_descriptors(folder: Path, stack: ExitStack) -> None:
    deepest = folder.joinpath(*["d"] * 150)
    deepest.mkdir(parents=True)
    for below in (folder, *folder.rglob("d")):
        (below / "z").touch()
    most = len(open_files()) + 70
    paths = []
    for entry in walk(folder, stack).entries():
        paths.append(entry.path)
        assert len(open_files()) <= most
    assert len(paths) == 1 + 150 + 151
    assert paths == sorted(paths, key=lambda path: path.split("/"))


def test_more_files_than_a_layer_may_have_are_refused(
    folder: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (folder / name).touch()
    monkeypatch.setattr(folder_tree, "MOST_ENTRIES", 3)
    assert len(list(walk(folder, stack).packed_entries())) == 4
    (folder / "d").touch()
    with pytest.raises(ConfigurationFault, match="has more than 3 files and folders"):
        list(walk(folder, stack).packed_entries())


def test_paths_longer_than_linux_allows_are_refused(folder: Path, stack: ExitStack) -> None:
    """A path below an open folder may be longer than any path that a call takes."""
    below = open_folder(folder)
    for _ in range(22):
        os.mkdir("d" * 200, dir_fd=below)
        above, below = below, os.open("d" * 200, os.O_RDONLY | os.O_DIRECTORY, dir_fd=below)
        os.close(above)
    os.close(below)
    with pytest.raises(ManifestInvalid, match="is longer than Linux allows"):
        list(walk(folder, stack).packed_entries())


def test_no_file_stays_open(folder: Path) -> None:
    (folder / "a").touch()
    (folder / "b").touch()
    before = open_files()
    with ExitStack() as stack:
        entries = walk(folder, stack).entries()
        assert isinstance(entries, Generator)
        next(entries)
        file = next(entries)
        assert isinstance(file.node.content, FileBelow)
        assert stat.S_ISREG(os.fstat(file.node.content.descriptor).st_mode)
        # A walk that is given up closes its file. The content is then opened again, not read from whatever file has
        # the descriptor now.
        entries.close()
        assert file.node.content.descriptor == -1
        assert read(file) == b""
    assert open_files() == before
