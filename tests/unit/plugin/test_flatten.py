"""Layers over each other: against a simple model, and what means harm."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import ManifestInvalid
from mirror.plugin import flatten
from mirror.plugin.flatten import Tree
from mirror.plugin.tree import Entry, Kind, LayerEntry, Node


def file(name: str, mode: int = 0o644) -> LayerEntry:
    return LayerEntry(name, Node(Kind.FILE, mode))


def folder(name: str, mode: int = 0o700) -> LayerEntry:
    return LayerEntry(name, Node(Kind.FOLDER, mode))


def symlink(name: str, target: str) -> LayerEntry:
    return LayerEntry(name, Node(Kind.SYMLINK, 0o777, target=target))


def link(name: str, target: str) -> LayerEntry:
    return LayerEntry(name, None, target)


def flat(*layers: Sequence[LayerEntry]) -> list[Entry]:
    tree = Tree()
    for layer in layers:
        tree.apply(layer)
    return list(tree.entries())


def paths(*layers: Sequence[LayerEntry]) -> list[str]:
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


def test_a_whiteout_hides_what_is_below_and_never_its_own_layer() -> None:
    below = [folder("d"), file("d/old"), file("gone")]
    assert paths(below, [file("gone"), file(".wh.gone"), file("d/.wh.old"), file("d/new")]) == ["d", "d/new", "gone"]
    assert paths(below, [file("d/new"), file("d/.wh..wh..opq")]) == ["d", "d/new", "gone"]
    assert paths(below, [file(".wh.d"), file("d/new")]) == ["d", "d/new", "gone"]
    assert paths([file(".wh.nothing"), file("no/where/.wh.x"), file(".wh..wh.plnk/1.2")]) == []


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
    assert "usr/lib" in paths([symlink("a", "/usr"), file("a/lib")])


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
    "loop": [symlink("a", "b"), symlink("b", "a"), file("a/x")],
    "below-a-file": [file("a"), file("a/b")],
    "root-as-file": [file(".")],
    "whiteout-of-nothing": [file(".wh.")],
    "whiteout-of-itself": [file("d/.wh..")],
    "whiteout-of-above": [file("d/.wh...")],
    "whiteout-as-folder": [file(".wh.a/b")],
}


@pytest.mark.parametrize("layer", HARMFUL.values(), ids=HARMFUL)
def test_what_leads_out_or_nowhere_is_refused(layer: list[LayerEntry]) -> None:
    with pytest.raises(ManifestInvalid):
        flat(layer)


def test_there_is_an_end_to_how_much_is_taken() -> None:
    tree = Tree(most_entries=10)
    tree.apply([file(f"f{number}") for number in range(10)])
    tree.apply([file("f1")])  # there already
    with pytest.raises(ManifestInvalid, match="more entries"):
        tree.apply([file("deep/er")])


_NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)


def test_the_way_through_links_is_bounded_over_all_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatten, "MOST_LINK_STEPS", 300)
    maze = [folder("x"), symlink("a", "x/../" * 20 + "b"), symlink("b", "x/../" * 20 + "x")]  # 82 steps
    assert "x/2" in paths(maze, [file(f"a/{number}") for number in range(3)])
    with pytest.raises(ManifestInvalid, match="more symbolic links than are followed"):
        flat(maze, [file(f"a/{number}") for number in range(2)], [file(f"a/{number}") for number in range(2)])
    with pytest.raises(ManifestInvalid, match="more symbolic links than are followed"):
        flat(maze, [file("x/0")], [link(f"f{number}", "a/0") for number in range(4)])


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
                not model.get(other, 0) or any(model.get(other[:d], 0) for d in range(1, len(other)))
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
        tree.apply(entries)

    found = [entry for entry in tree.entries() if entry.path]
    assert [tuple(entry.path.split("/")) for entry in found] == sorted(model)
    first: dict[int, str] = {}
    for entry in found:
        number = model[tuple(entry.path.split("/"))]
        assert (entry.node.kind is Kind.FOLDER) == (number == 0)
        if number:
            assert entry.node.mode == number % 512
            assert entry.same_as == first.get(number)
            first.setdefault(number, entry.path)
