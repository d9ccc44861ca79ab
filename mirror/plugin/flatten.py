"""Layers laid over each other, as engines do it: what is in the end left of them (OCI image-spec, layer.md).

A layer's whiteouts hide what the layers below have, never what the layer itself brings. A path leads through symbolic
links of the tree, and never out of it; folders that no layer names are made, with mode 0755 and owned by root, as
engines make them (containerd: archive/tar.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mirror.oci.errors import ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.layer_limits import MOST_ENTRIES
from mirror.plugin.tree import MOST_NAME_BYTES, MOST_PATH_BYTES, Entry, Kind, LayerEntry, Node

WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_METADATA: Final = ".wh..wh."
#: Most symbolic links that one path may lead through: what Linux allows.
_MOST_LINKS: Final = 40
#: Most components of links that are walked over in all, however many entries lead through them.
MOST_LINK_STEPS: Final = 10_000_000


class _Folder:
    """A folder of the tree."""

    __slots__ = ("children", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.children: dict[str, _Folder | Node] = {}


class Tree:
    """What layers amount to. It begins as an empty folder.

    Args:
        most_entries: most that it may ever hold.
    """

    def __init__(self, most_entries: int = MOST_ENTRIES) -> None:
        self._root = _Folder(Node(Kind.FOLDER, 0o755))
        self._entries_left = most_entries
        self._link_steps_left = MOST_LINK_STEPS

    def apply(self, layer: Iterable[LayerEntry]) -> None:
        """Lay a layer over the tree.

        Args:
            layer: its entries in their order.

        Raises:
            ManifestInvalid: a name or a link that leads out of the tree or nowhere; too many entries; or too many steps
                through links.
        """
        ordinary: list[tuple[list[str], LayerEntry]] = []
        for entry in layer:
            parts = _parts(entry.name)
            if not any(part.startswith(WHITEOUT) for part in parts):
                ordinary.append((parts, entry))
            elif not parts[0].startswith(_METADATA) or parts[0] == _OPAQUE:
                self._hide(parts, entry.name)
        for parts, entry in ordinary:
            self._place(parts, entry)

    def entries(self) -> Iterator[Entry]:
        """All of it, sorted by the components of the paths."""
        seen: dict[int, str] = {}
        yield Entry("", self._root.node)
        below = [("", iter(sorted(self._root.children.items())))]
        while below:
            prefix, children = below[-1]
            for name, child in children:
                path = f"{prefix}{name}"
                if isinstance(child, _Folder):
                    yield Entry(path, child.node)
                    below.append((f"{path}/", iter(sorted(child.children.items()))))
                    break
                yield Entry(path, child, seen.get(id(child)))
                seen.setdefault(id(child), path)
            else:
                below.pop()

    def _hide(self, parts: list[str], name: str) -> None:
        """Follow a whiteout."""
        *above, last = parts
        hidden = last.removeprefix(WHITEOUT)
        if hidden in {"", ".", ".."} or hidden == last or any(part.startswith(WHITEOUT) for part in above):
            raise ManifestInvalid(f"{quoted(name)} is no whiteout that means anything")
        folder = self._folder_at(above, name, make=False)
        if folder is None:
            return
        if last == _OPAQUE:
            folder.children.clear()
        elif not last.startswith(_METADATA):
            folder.children.pop(hidden, None)

    def _place(self, parts: list[str], entry: LayerEntry) -> None:
        node = entry.node if entry.link is None else self._linked(entry)
        if node is None:
            raise ManifestInvalid(f"{quoted(entry.name)} is nothing")
        if not parts:
            if node.kind is not Kind.FOLDER:
                raise ManifestInvalid("a layer's root is no folder")
            self._root.node = node
            return
        *above, last = parts
        folder = self._folder_at(above, entry.name, make=True)
        if folder is None:
            raise ManifestInvalid(f"{quoted(entry.name)} lies below something that is no folder")
        there = folder.children.get(last)
        if there is None:
            self._count()
        if node.kind is not Kind.FOLDER:
            folder.children[last] = node
        elif isinstance(there, _Folder):
            there.node = node
        else:
            folder.children[last] = _Folder(node)

    def _linked(self, entry: LayerEntry) -> Node:
        """What a hard link leads to."""
        link = entry.link or ""
        parts = _parts(link)
        folder = self._folder_at(parts[:-1], link, make=False)
        found = folder.children.get(parts[-1]) if parts and folder is not None else None
        if not isinstance(found, Node):
            raise ManifestInvalid(f"{quoted(entry.name)} is a link to {quoted(link)}, which is no file of the layers")
        return found

    def _folder_at(self, parts: list[str], name: str, *, make: bool) -> _Folder | None:
        """The folder at a path, made where it is absent; None where there is none, or something else is there."""
        way = [self._root]
        ahead = parts[::-1]
        links = 0
        while ahead:
            part = ahead.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del way[max(1, len(way) - 1) :]
                continue
            child = way[-1].children.get(part)
            if child is None:
                if not make:
                    return None
                self._count()
                child = way[-1].children[part] = _Folder(Node(Kind.FOLDER, 0o755))
            if isinstance(child, _Folder):
                way.append(child)
            elif child.kind is Kind.SYMLINK:
                links += 1
                if links > _MOST_LINKS:
                    raise ManifestInvalid(f"{quoted(name)} leads through too many symbolic links")
                if child.target.startswith("/"):
                    del way[1:]
                steps = child.target.split("/")
                self._link_steps_left -= len(steps)
                if self._link_steps_left < 0:
                    raise ManifestInvalid("the layers lead through more symbolic links than are followed")
                ahead += steps[::-1]
            else:
                return None
        return way[-1]

    def _count(self) -> None:
        self._entries_left -= 1
        if self._entries_left < 0:
            raise ManifestInvalid("the layers hold more entries than are looked at")


def _parts(name: str) -> list[str]:
    """The components of a name in a layer.

    Raises:
        ManifestInvalid: it leads out of the tree, or is longer than Linux takes.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ManifestInvalid(f"{quoted(name)} leads out of the layer")
    lengths = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if sum(lengths) + len(lengths) > MOST_PATH_BYTES or max(lengths, default=0) > MOST_NAME_BYTES:
        raise ManifestInvalid(f"{quoted(name)} is longer than names can be")
    if "\0" in name:
        raise ManifestInvalid(f"{quoted(name)} holds a zero byte")
    return parts
