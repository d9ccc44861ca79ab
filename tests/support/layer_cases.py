"""Stacked layers, and the root filesystems that engines make of them."""

from __future__ import annotations

from collections.abc import Sequence

from mirror.plugin.rootfs.entry import EntryKind, LayerEntry

Layer = Sequence[LayerEntry]


def file(name: str, mode: int = 0o644) -> LayerEntry:
    return LayerEntry(name, EntryKind.FILE, mode)


def folder(name: str, mode: int = 0o700) -> LayerEntry:
    return LayerEntry(name, EntryKind.FOLDER, mode)


def symlink(name: str, target: str) -> LayerEntry:
    return LayerEntry(name, EntryKind.SYMLINK, 0o777, target=target)


def link(name: str, target: str) -> LayerEntry:
    return LayerEntry(name, EntryKind.HARD_LINK, 0o644, target=target)


BELOW = [folder("d"), file("d/old"), file("gone"), symlink("to", "d"), file("full/x/y")]
#: Layers over BELOW, and what moby's UnpackLayer leaves of them, by pkg/archive/diff.go.
CASES: dict[str, tuple[Layer, str]] = {
    "whiteout": ([file(".wh.gone")], "d d/old full full/x full/x/y to"),
    "whiteout-of-folder": ([file(".wh.full")], "d d/old gone to"),
    "whiteout-of-link": ([file(".wh.to")], "d d/old full full/x full/x/y gone"),
    "whiteout-through-link": ([file("to/.wh.old")], "d full full/x full/x/y gone to"),
    "whiteout-before-its-own": ([file(".wh.gone"), file("gone")], "d d/old full full/x full/x/y gone to"),
    "whiteout-after-its-own": ([file("gone"), file(".wh.gone")], "d d/old full full/x full/x/y to"),
    "whiteout-of-absent": ([file(".wh.no"), file("n/.wh.x")], "d d/old full full/x full/x/y gone n to"),
    "opaque": ([file("full/.wh..wh..opq"), file("full/new")], "d d/old full full/new gone to"),
    "opaque-after-its-own": ([file("full/new"), file("full/.wh..wh..opq")], "d d/old full full/new gone to"),
    "opaque-keeps-named-folders": (
        [folder("full/x"), file("full/x/new"), file("full/.wh..wh..opq")],
        "d d/old full full/x full/x/new gone to",
    ),
    "opaque-takes-unnamed-folders": ([file("full/n/new"), file("full/.wh..wh..opq")], "d d/old full gone to"),
    "opaque-root": ([file("new"), file(".wh..wh..opq")], "new"),
    "metadata": ([file(".wh..wh.plnk/1.2"), file(".wh..wh.x")], "d d/old full full/x full/x/y gone to"),
    "file-over-folder": ([file("full")], "d d/old full gone to"),
    "folder-over-file": ([folder("gone"), file("gone/x")], "d d/old full full/x full/x/y gone gone/x to"),
    "folder-over-folder": ([folder("d")], "d d/old full full/x full/x/y gone to"),
    "folder-over-link": ([folder("to"), file("to/x")], "d d/old full full/x full/x/y gone to to/x"),
    "file-over-link": ([file("to")], "d d/old full full/x full/x/y gone to"),
    "through-a-link": ([file("to/x")], "d d/old d/x full full/x full/x/y gone to"),
    "new-folders-below-a-link": ([file("to/n/x")], "d d/n d/n/x d/old full full/x full/x/y gone to"),
    "dot-dot": ([file("d/../x"), file("./d/./y")], "d d/old d/y full full/x full/x/y gone to x"),
    "hard-link": ([link("l", "/to/old"), link("m", "to")], "d d/old full full/x full/x/y gone l m to"),
    "hard-link-to-what-goes": ([link("l", "gone"), file(".wh.gone")], "d d/old full full/x full/x/y l to"),
}
