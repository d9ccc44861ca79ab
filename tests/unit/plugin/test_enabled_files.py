"""Files and folders that enabling adds to a root filesystem."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mirror.plugin.build.enabled_files import without_additions
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.rootfs.entry import EntryKind, Node
from mirror.plugin.rootfs.tree import TreeEntry

CONFIG = PluginConfig.parse(
    json.dumps(
        {
            "Mounts": [
                {"Name": "state", "Destination": "/s"},
                {"Source": "/etc/hostname", "Destination": "/a/b/file"},
                {"Source": "/run", "Destination": "/var/run/x/"},
            ],
            "PropagatedMount": "/mnt/p",
            "WorkDir": "/work/dir",
        }
    ).encode()
)


def folder(mode: int = 0o755, uid: int = 0) -> Node:
    return Node(EntryKind.FOLDER, mode, uid=uid)


def file(size_bytes: int = 0, mode: int = 0o755) -> Node:
    return Node(EntryKind.FILE, mode, size_bytes=size_bytes)


def link(target: str) -> Node:
    return Node(EntryKind.SYMLINK, 0o777, target=target)


def kept(tree: dict[str, Node], shipped: frozenset[str] = frozenset()) -> list[str]:
    """Return the paths that are kept of a tree in which everything else was made on this host."""
    entries = [TreeEntry("", folder()), *(TreeEntry(path, node) for path, node in sorted(tree.items()))]
    return [entry.path for entry in without_additions(entries, CONFIG, lambda path: path not in shipped)][1:]


def test_what_enabling_made_is_left_out_with_the_folders_above() -> None:
    tree = {
        ".dockerenv": file(),
        **{path: folder() for path in ("dev", "dev/pts", "dev/shm", "etc", "mnt", "mnt/p", "proc", "s", "sys")},
        **{path: folder() for path in ("run", "run/docker", "run/docker/plugins", "work", "work/dir", "a", "a/b")},
        **{path: file() for path in ("a/b/file", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf")},
        "etc/mtab": link("/proc/mounts"),
    }
    assert kept(tree) == []


def test_what_the_plugin_shipped_is_kept() -> None:
    tree = {"etc": folder(), "etc/hosts": file(), "mnt": folder(), "mnt/p": folder(), "etc/mtab": link("/proc/mounts")}
    assert kept(tree, frozenset(tree)) == sorted(tree)


def test_an_addition_that_holds_or_is_something_else_is_kept() -> None:
    tree = {
        "a": folder(),
        "dev": folder(0o700),
        "etc": folder(),
        "etc/hosts": file(9),
        "etc/mtab": link("mounts"),
        "etc/resolv.conf": file(mode=0o644),
        "proc": folder(uid=7),
        "s": folder(),
        "s/kept": file(),
        "sys": link("x"),
    }
    assert kept(tree) == ["dev", "etc", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "s", "s/kept", "sys"]


def test_a_target_is_found_through_links() -> None:
    tree = {"run": folder(), "run/x": folder(), "var": folder(), "var/run": link("../run")}
    assert kept(tree, frozenset({"run", "var"})) == ["run", "var", "var/run"]


def test_links_in_a_circle_lead_nowhere() -> None:
    tree = {"s": link("mnt"), "mnt": link("s")}
    assert kept(tree) == ["mnt", "s"]


_NAMES = st.sampled_from(["", ".", "..", "a", "b", "s", "mnt", "etc", "hosts"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=6).map("/".join)


@given(links=st.dictionaries(_PATHS, _PATHS, max_size=6), places=st.lists(_PATHS, max_size=4))
def test_any_links_and_places_end(links: dict[str, str], places: list[str]) -> None:
    config = PluginConfig.parse(json.dumps({"Mounts": [{"Destination": place} for place in places]}).encode())
    entries = [TreeEntry(path, link(target)) for path, target in links.items()]
    assert without_additions(entries, config, lambda _: True) == entries
