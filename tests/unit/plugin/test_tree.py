"""Stacked layers: compared with a simple model, and hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ManifestInvalid
from mirror.plugin.rootfs.entry import EntryCallback, EntryKind, LayerEntry
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder
from mirror.plugin.rootfs.tar_header import END_OF_TAR, tar_header
from mirror.plugin.rootfs.tar_reader import TarReader
from mirror.plugin.rootfs.tree import Tree, TreeEntry, TreeLimits
from tests.support.layer_cases import BELOW, CASES, Layer, file, folder, link, symlink


def flat(*layers: Layer, limits: TreeLimits | None = None) -> list[TreeEntry]:
    """Return the tree that ``pack`` and ``unpack`` make of the layers."""
    tree = Tree(limits)
    for layer in layers:
        tree.apply((entry, None) for entry in layer)
    return list(tree.entries())


def looked_at(*layers: Layer) -> list[TreeEntry]:
    """Return the tree that ``lint``, ``inspect`` and ``diff`` see."""
    builder = RootfsBuilder()
    for layer in layers:
        builder.begin_layer()
        for entry in layer:
            builder.begin(entry)
            builder.end()
    return list(builder.finish().tree.entries())


def paths(*layers: Layer) -> list[str]:
    return [entry.path for entry in flat(*layers)][1:]


def test_upper_layers_win_and_entries_are_sorted_by_components() -> None:
    below = [folder("b"), file("b/x", 0o600), file("b.c"), folder("a")]
    entries = flat(below, [file("./b/x", 0o755), folder("/a/", 0o711)])
    assert [(entry.path, entry.node.mode) for entry in entries] == [
        ("", 0o755),
        ("a", 0o711),
        ("b", 0o700),
        ("b/x", 0o755),
        ("b.c", 0o644),
    ]


@pytest.mark.parametrize(("layer", "left"), CASES.values(), ids=CASES)
def test_layers_come_to_what_engines_make_of_them(layer: Layer, left: str) -> None:
    assert " ".join(paths(BELOW, layer)) == left
    assert [entry.path for entry in looked_at(BELOW, layer)][1:] == left.split()


def test_a_file_stays_under_its_other_name() -> None:
    entries = flat([file("a"), link("b", "/a"), link("c", "b")], [file(".wh.a")])
    assert [(entry.path, entry.same_as) for entry in entries[1:]] == [("b", None), ("c", "b")]
    entries = flat([file("a"), link("b", "a")], [file("a", 0o755)])
    assert [(entry.node.mode, entry.same_as) for entry in entries[1:]] == [(0o755, None), (0o644, None)]


def test_paths_lead_through_links_within_the_tree() -> None:
    below = [folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib"), symlink("up", "../../../usr")]
    assert "usr/lib/x" in paths(below, [file("lib/x")])
    assert "usr/y" in paths(below, [file("up/y")])
    assert "lib/x" in paths(below, [folder("lib"), file("lib/x")])  # a folder takes the link's place


HARMFUL = {
    "out": [file("../x")],
    "out-later": [folder("a"), file("a/../../x")],
    "zero": [file("a\0b")],
    "long-name": [file("n" * 256)],
    "long-path": [file("n/" * 2100)],
    "link-out": [file("a"), link("b", "../a")],
    "link-to-nothing": [link("b", "a")],
    "link-to-folder": [folder("a"), link("b", "a")],
    "link-to-root": [link("b", ".")],
    "dangling": [symlink("a", "/usr"), file("a/lib/x")],
    "link-to-what-it-replaces": [file("a"), link("a", "a")],
    "loop": [symlink("a", "b"), symlink("b", "a"), file("a/x")],
    "below-a-file": [file("a"), file("a/b")],
    "root-as-file": [file(".")],
    "whiteout-of-nothing": [file(".wh.")],
    "whiteout-of-itself": [file("d/.wh..")],
    "whiteout-of-above": [file("d/.wh...")],
    "whiteout-as-folder": [file(".wh.a/b")],
}


@pytest.mark.parametrize("layer", HARMFUL.values(), ids=HARMFUL)
def test_what_leads_out_or_nowhere_is_refused(layer: Layer) -> None:
    with pytest.raises(ManifestInvalid):
        flat(layer)


def test_there_is_an_end_to_how_much_is_taken() -> None:
    ten = [file(f"f{number}") for number in range(10)]
    assert len(flat(ten, [file("f1")], limits=TreeLimits(entries=10))) == 11  # there already
    with pytest.raises(ManifestInvalid, match="more entries"):
        flat(ten, [file("deep/er")], limits=TreeLimits(entries=10))
    with pytest.raises(ManifestInvalid, match="more entries"):
        flat([file("a/" * 9 + "f")], limits=TreeLimits(characters=100))


_NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)


def test_the_way_through_links_is_bounded_over_all_entries() -> None:
    maze = [folder("x"), symlink("a", "x/../" * 20 + "b"), symlink("b", "x/../" * 20 + "x")]  # 82 steps
    limits = TreeLimits(steps=300)
    assert "x/2" in [entry.path for entry in flat(maze, [file(f"a/./{number}") for number in range(3)], limits=limits)]
    with pytest.raises(ManifestInvalid, match="symbolic links than the limit"):
        flat(maze, [file("a/" + "./" * number + "x") for number in range(6)], limits=limits)
    with pytest.raises(ManifestInvalid, match="symbolic links than the limit"):
        flat(
            maze, [file("x/0")], [link(f"f{number}", "a/" + "./" * number + "0") for number in range(6)], limits=limits
        )


_STEPS = st.tuples(st.sampled_from(["file", "folder", "link", "hide", "empty"]), _NAMES, _NAMES)
_Path = tuple[str, ...]


@given(layers=st.lists(st.lists(_STEPS, max_size=12), max_size=4))
def test_flattening_does_what_a_simple_model_does(layers: list[list[tuple[str, _Path, _Path]]]) -> None:
    model: dict[_Path, int] = {}  # path → 0 for a folder, else the number of a file
    tree, files = Tree(), 0

    def below(path: _Path) -> list[_Path]:
        return [here for here in model if here[: len(path)] == path and here != path]

    for layer in layers:
        entries: list[LayerEntry] = []
        hidden = [step for step in layer if step[0] in {"hide", "empty"}]
        for what, path, _ in hidden:
            folders = [path[:depth] for depth in range(1, len(path) + (what == "empty"))]
            if any(model.get(one, 0) for one in folders):
                continue  # below a file
            for one in folders:
                model.setdefault(one, 0)
            if what == "hide":
                entries.append(file("/".join((*path[:-1], f".wh.{path[-1]}"))))
                doomed = [*below(path), path]
            else:
                entries.append(file("/".join((*path, ".wh..wh..opq"))))
                doomed = below(path)
            for one in doomed:
                model.pop(one, None)
        for what, path, other in [step for step in layer if step not in hidden]:
            if any(model.get(path[:depth], 0) for depth in range(1, len(path))):
                continue  # below a file
            if what == "link" and (
                other[: len(path)] == path
                or not model.get(other, 0)
                or any(model.get(other[:d], 0) for d in range(1, len(other)))
            ):
                continue
            number = model[other] if what == "link" else 0
            if what == "file":
                files += 1
                number = files
            if what == "folder":
                entries.append(folder("/".join(path)))
                model[path] = 0
            else:
                entries.append(
                    link("/".join(path), "/".join(other)) if what == "link" else file("/".join(path), files % 512)
                )
                for one in below(path):
                    del model[one]
                model[path] = number
            for depth in range(1, len(path)):
                model.setdefault(path[:depth], 0)
        tree.apply((entry, None) for entry in entries)

    found = [entry for entry in tree.entries() if entry.path]
    assert [tuple(entry.path.split("/")) for entry in found] == sorted(model)
    first: dict[int, str] = {}
    for entry in found:
        number = model[tuple(entry.path.split("/"))]
        assert (entry.node.kind is EntryKind.FOLDER) == (number == 0)
        if number:
            assert entry.node.mode == number % 512
            assert entry.same_as == first.get(number)
            first.setdefault(number, entry.path)


_PATHS = st.text(alphabet="ab./", min_size=1, max_size=8)
_WHITEOUTS = st.sampled_from([".wh.a", "a/.wh.b", "b/.wh..wh..opq", ".wh..wh..opq", ".wh..wh.x"]).map(file)
_ENTRIES = st.one_of(
    st.builds(file, _PATHS),
    st.builds(folder, _PATHS),
    st.builds(symlink, _PATHS, _PATHS),
    st.builds(link, _PATHS, _PATHS),
    _WHITEOUTS,
)


@given(layers=st.lists(st.lists(_ENTRIES, max_size=8), min_size=1, max_size=3))
def test_both_views_of_layers_agree(layers: list[list[LayerEntry]]) -> None:
    try:
        made = flat(*layers)
    except ManifestInvalid:
        looked_at(*layers)  # a layer that engines cannot unpack is read as far as possible
        return
    seen = looked_at(*layers)
    assert [_told(entry) for entry in seen] == [_told(entry) for entry in made]


def _told(entry: TreeEntry) -> tuple[object, ...]:
    return entry.path, entry.node.kind, entry.same_as, entry.node.target


@given(layers=st.lists(st.lists(_ENTRIES, max_size=8), min_size=1, max_size=3))
def test_a_tree_that_is_written_is_read_back(layers: list[list[LayerEntry]]) -> None:
    try:
        made = flat(*layers)
    except ManifestInvalid:
        return
    found: list[LayerEntry] = []
    reader = TarReader(1000, EntryCallback(found.append))
    reader.feed(b"".join(tar_header(entry, 0) for entry in made) + END_OF_TAR)
    reader.finish()
    assert reader.problem is None
    for entry in found:
        entry.require_possible()
    assert [_told(entry) for entry in flat(found)] == [_told(entry) for entry in made]
