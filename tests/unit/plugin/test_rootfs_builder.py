"""Root filesystems built from entries and from real layers, including hostile ones."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.oci.errors import LayersTooLarge
from mirror.plugin.rootfs.entry import EntryKind, LayerEntry
from mirror.plugin.rootfs.layer import LayerReader
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.plugin.rootfs.layer_names import parts_of
from mirror.plugin.rootfs.root_filesystem import Rootfs
from mirror.plugin.rootfs.rootfs_builder import RootfsBuilder
from mirror.plugin.rootfs.tree import Tree, TreeLimits
from tests.support.layers import entry, tar, zipped
from tests.support.rootfs import elf, file, folder, link, rootfs

HARD = EntryKind.HARD_LINK


def paths(found: Rootfs) -> list[str]:
    return [path for path, _ in found.tree.walk()]


def leads(found: Rootfs, path: str) -> str | None:
    reached = found.tree.find(path)
    return reached and reached.path


def test_links_are_followed_as_linux_does_it() -> None:
    found = rootfs(
        file("usr/bin/dash"),
        link("usr/bin/sh", "dash"),
        link("bin", "usr/bin"),
        link("up", "../../../usr"),
        link("usr/abs", "/bin/../bin/sh"),
        link("loop", "loop"),
        link("dangling", "nowhere"),
        link("long", "/" + "./" * 2043 + "usr/bin"),
        link("longer", "/" + "./" * 2044 + "usr/bin"),
    )
    assert leads(found, "/bin/sh") == "/usr/bin/dash"
    assert leads(found, "/up/bin/sh") == "/usr/bin/dash"
    assert leads(found, "/usr/abs") == "/usr/bin/dash"
    assert leads(found, "/usr/bin/../../bin/./dash") == "/usr/bin/dash"
    assert leads(found, "/usr/bin/dash/x") is None
    assert leads(found, "/loop") is None
    assert leads(found, "/dangling") is None
    assert leads(found, "/long") == "/usr/bin"
    assert leads(found, "/longer") is None  # longer than the targets that Linux permits
    assert leads(found, "/") == "/"


def test_what_is_unpacked_through_a_link_lies_behind_it() -> None:
    found = rootfs(folder("usr/bin"), link("bin", "usr/bin"), file("bin/driver"))
    assert paths(found) == ["bin", "usr", "usr/bin", "usr/bin/driver"]


def test_later_entries_take_the_place_of_earlier_ones() -> None:
    found = rootfs(file("a/b", b"1"), file("a", b"22"), file("c"), folder("c", 0o700), folder("c", 0o750), file("c/d"))
    held = {path: (node.kind, node.mode, node.size_bytes) for path, node in found.tree.walk()}
    assert held == {
        "a": (EntryKind.FILE, 0o755, 2),
        "c": (EntryKind.FOLDER, 0o750, 0),
        "c/d": (EntryKind.FILE, 0o755, 0),
    }


def test_names_above_the_root_are_at_the_root() -> None:
    assert paths(rootfs(file("../../x"), file("/../y"), file("./a/../z"))) == ["x", "y", "z"]


def test_hard_links() -> None:
    found = rootfs(
        file("a", elf()), link("b", "a", HARD), link("c", "/a", HARD), link("d", "no", HARD), link("e", ".", HARD)
    )
    assert paths(found) == ["a", "b", "c"]
    assert found.tree.root.children["b"] is found.tree.root.children["a"]
    assert found.links_broken == ("d -> no", "e -> .")


def test_whiteouts_delete_what_they_name() -> None:
    found = rootfs(file("a/b"), file("a/c"), file("a/.wh.b"), file("a/.wh..wh.x"), file(".wh.nothing/inside"))
    assert paths(found) == [".wh.nothing", ".wh.nothing/inside", "a", "a/c"]
    assert found.whiteouts == ("a/.wh.b", "a/.wh..wh.x")


def test_names_that_linux_does_not_take() -> None:
    found = rootfs(file("n" * 255), file("n" * 256), file("ä" * 128), file("/".join(["n" * 200] * 22)), file("ok"))
    assert [len(name) for name in found.too_long] == [256, 128, 4095]
    assert len(paths(found)) == 2


@given(st.binary(min_size=1, max_size=12), st.binary(max_size=40), st.integers(1, 15), st.integers(0, 40))
def test_a_name_is_found_however_it_is_cut(name: bytes, content: bytes, cut: int, at: int) -> None:
    for told in (content, content[:at] + name + content[at:]):
        found = rootfs(file("other", name[:-1]), file("x", told), names=[name, b""], cut=cut)
        assert (name in found.mentioned) is (name in told)


@pytest.mark.parametrize(("digests", "expected"), [(True, hashlib.sha256(b"x" * 2500).hexdigest()), (False, None)])
def test_each_file_has_its_digest_unless_nobody_needs_it(digests: bool, expected: str | None) -> None:
    (node,) = [node for _, node in rootfs(file("x", b"x" * 2500), digests=digests).tree.walk()]
    assert node.digest == expected


def through_a_layer(layer: bytes) -> Rootfs:
    reader = RootfsBuilder([b"driver.sock"])
    layer_reader = LayerReader(len(layer), DEFAULT_LIMITS, watcher=reader)
    for start in range(0, len(layer), 70_000):
        layer_reader.feed(layer[start : start + 70_000])
    assert layer_reader.finish().problem is None
    return reader.finish()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_layer_tells_what_is_in_it(form: int) -> None:
    long = "d" * 120 + "/" + "f" * 150
    program = elf(loader="/lib/ld.so", needed=["libc.so.6"]).ljust(200_000, b"\0") + b"driver.sock"
    made = tarfile.TarInfo("link")
    made.type, made.linkname = tarfile.SYMTYPE, long
    archive = tar(
        entry("bin", kind=tarfile.DIRTYPE),
        entry("bin/driver", program, form=form),
        entry(long, b"content", form=form),
        made.tobuf(form, "utf-8", "surrogateescape"),
        entry("ümlaut", b"", form=form),
    )
    found = through_a_layer(zipped(archive))
    assert paths(found) == ["bin", "bin/driver", "d" * 120, long, "link", "ümlaut"]
    assert leads(found, "/link") == f"/{long}"
    assert found.mentioned == {b"driver.sock"}
    nodes = dict(found.tree.walk())
    assert nodes["bin/driver"].size_bytes == len(program)
    assert nodes[long].size_bytes == 7


def test_a_name_that_pax_gives_may_have_no_zero_in_it() -> None:
    bad = entry("x", b"16 path=a\0bcdef\n", kind=b"x")
    reader = LayerReader(1, DEFAULT_LIMITS)
    reader.feed(tar(bad, entry("f")))
    assert reader.finish().problem is not None


names = st.text(alphabet="ab./", min_size=1, max_size=8)
entries = st.lists(
    st.builds(
        lambda path, kind, target: LayerEntry(path, kind, 0o755, 0, target if "LINK" in kind.name else ""),
        names,
        st.sampled_from(EntryKind),
        names,
    ),
    max_size=30,
)


@given(entries, names)
@settings(deadline=None)
def test_whatever_is_told_ends(told: list[LayerEntry], asked: str) -> None:
    found = rootfs(*((one, b"") for one in told))
    walked = paths(found)
    assert len(walked) < 2000
    reached = found.tree.find(asked)
    assert reached is None or parts_of(reached.path) == [part for part in reached.path.split("/") if part]


@given(names)
def test_paths_are_cleaned_as_from_the_root(path: str) -> None:
    parts = parts_of(path)
    assert not {"", ".", ".."} & set(parts)
    assert parts_of("/" + "/".join(parts)) == parts
    if ".." not in path:
        assert parts == [part for part in PurePosixPath("/", path).parts if part != "/" and part != "//"]


def test_a_tree_stops_growing() -> None:
    found = rootfs(*(file(f"f{number}") for number in range(100)), limits=TreeLimits(entries=49))
    assert not found.tree.whole
    assert len(paths(found)) == 49


def test_steps_are_bounded() -> None:
    tree = Tree(TreeLimits(steps=1000))
    entries = [
        LayerEntry("/".join("abcdefghijklmnopqrst") + "/." * number + "/f", EntryKind.FILE, 0o644)
        for number in range(100)
    ]
    with pytest.raises(LayersTooLarge, match="more folders and symbolic links"):
        tree.apply((entry, None) for entry in entries)
    assert not tree.whole


def test_what_programs_say_is_bounded() -> None:
    name = "l" * 4000
    program = elf(needed=[name] * 200)
    found = rootfs(*(file(f"p{number}", program) for number in range(30)), cut=10**6)
    assert not found.tree.whole
    kept = [node.program for _, node in found.tree.walk() if node.program is not None]
    assert sum(one.size_characters for one in kept) <= 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "content", "mode", "is_kept"),
    [
        ("start", b"#!/bin/sh\n", 0o755, True),
        ("start", b"#!/bin/sh\n", 0o644, True),
        ("start.sh", b"echo", 0o644, True),
        ("start", b"echo", 0o755, False),
    ],
)
def test_shell_scripts_are_kept_with_their_text(name: str, content: bytes, mode: int, is_kept: bool) -> None:
    found = rootfs(file(name, content, mode)).tree.find(f"/{name}")
    assert found is not None
    text = None if found.node.program is None else found.node.program.script_text
    assert text == (content.decode() if is_kept else None)


def test_scripts_beyond_the_limit_lose_their_text_only() -> None:
    script = b"#!/bin/sh\n".ljust(64 * 1024)
    found = rootfs(*(file(f"f{number}", script) for number in range(70)), cut=len(script))
    programs = [node.program for _, node in found.tree.walk() if node.program is not None]
    assert found.tree.whole
    assert [program.interpreter for program in programs] == ["/bin/sh"] * 70
    assert sum(program.script_text is not None for program in programs) == 64
