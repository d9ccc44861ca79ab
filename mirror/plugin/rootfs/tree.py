"""The tree that layers amount to: entries laid over each other as engines do it, and paths followed as Linux does it.

The rules are those of moby's ``UnpackLayer`` (pkg/archive/diff.go), which engines unpack plugins with, in a chroot;
``tests/e2e/test_unpacking.py`` tries them:

- Names are cleaned first, as text: ``a/../b`` is ``b``, and what leads above the root is at the root.
- Entries take effect in their order. A whiteout ``.wh.NAME`` takes away what is there, also what its own layer has
  brought before it; the OCI specification would leave that.
- An opaque mark ``.wh..wh..opq`` takes away what is in its folder, but for what its own layer has named before it.
- Names at the root that begin with ``.wh..wh.`` are metadata, and passed over; engines leave their folders, empty.
- A folder over a folder is merged; anything else takes the place of what was there, with all that was below it.
- Folders that no layer names are made, with mode 0755 and owned by root; but not what a link leads to.

A tree comes from outside, so what it may cost is bounded, in entries, characters and steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mirror.oci.errors import LayerEntryInvalid, LayersTooLarge
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.entry import MOST_PATH_BYTES, Content, EntryKind, LayerEntry, Node
from mirror.plugin.rootfs.layer_limits import MOST_ENTRIES
from mirror.plugin.rootfs.layer_names import OPAQUE, WHITEOUT, is_metadata, parts_of, require_plain

#: Symbolic links that Linux follows on the way to one file.
_MOST_LINKS: Final = 40
#: Folders that are found again without walking to them: what lies in one mostly stands together in a layer.
_MOST_NEAR: Final = 256


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """Limits of what a tree may cost.

    Attributes:
        entries: most files, folders and links that it may ever hold.
        characters: most characters of all their paths together.
        steps: most components that are walked over in all, those of links among them.
    """

    entries: int = MOST_ENTRIES
    characters: int = 1024**3
    steps: int = 100_000_000


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """The end of a path that was followed.

    Attributes:
        path: the path without links, from the root, beginning with ``/``.
        node: what is there.
    """

    path: str
    node: Node


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One path of a tree. In a list of them a folder comes before what is in it.

    Attributes:
        path: from the root, which is ``""``; components joined by ``/``, none of them ``.`` or ``..``.
        node: what is there.
        same_as: path of an earlier entry that is the same file.
    """

    path: str
    node: Node
    same_as: str | None = None


class Tree:
    """A root filesystem. It begins as an empty folder.

    Attributes:
        root: the folder that all is in.
        whole: whether it has not met a limit: everything is in it that has a place.
    """

    def __init__(self, limits: TreeLimits | None = None) -> None:
        self.root = Node(EntryKind.FOLDER)
        self.whole = True
        self._limits = limits or TreeLimits()
        self._entries = self._characters = self._steps = 0
        self._layer = 0
        self._near: dict[str, Node] = {}  # folders by names that lead to them, until something on the way may be gone

    def begin_layer(self) -> None:
        """Take what is placed from now on as the next layer."""
        self._layer += 1

    def apply(self, layer: Iterable[tuple[LayerEntry, Content | None]]) -> None:
        """Lay a layer over the tree, and refuse names that only some engines take.

        Args:
            layer: its entries in their order, with their contents.

        Raises:
            ManifestInvalid: a name that leads out of the layer, or that Linux does not take; an entry without a place;
                too many entries or steps.
        """
        self.begin_layer()
        for entry, content in layer:
            require_plain(entry.path)
            if entry.kind is EntryKind.HARD_LINK:
                require_plain(entry.target)
            self.place(entry, content)

    def place(self, entry: LayerEntry, content: Content | None = None) -> Node | None:
        """Put an entry in its place, or do what it says as a whiteout.

        Returns:
            The node there; None for a whiteout.

        Raises:
            LayerEntryInvalid: there is none. LayersTooLarge: the tree does not grow any more.
        """
        self._require_steps()
        if is_metadata(entry.path):
            return None
        folder, name = self._above(entry.path, make=True)
        if not name:
            if entry.kind is not EntryKind.FOLDER:
                raise LayerEntryInvalid("a layer's root is no folder")
            self.root.describe(entry)
            return self.root
        if folder is None:
            raise LayerEntryInvalid(f"{quoted(entry.path)} lies below something that is no folder")
        if name.startswith(WHITEOUT):
            self._hide(folder, name, entry.path)
            return None
        existing = folder.children.get(name)
        if existing is not None and entry.kind is existing.kind is EntryKind.FOLDER:
            node = existing
            node.describe(entry)
        else:
            if not self._remove(folder, name):
                self._count(len(entry.path))
            node = self._linked(entry) if entry.kind is EntryKind.HARD_LINK else Node.of(entry, content)
            folder.children[name] = node
        node.layer = self._layer
        return node

    def find(self, path: str, *, follow: bool = True) -> ResolvedPath | None:
        """Follow an absolute path through links; ``..`` above the root is the root.

        Args:
            path: absolute.
            follow: whether the last component is followed, too, where it is a link.
        """
        trail = self._trail(path.split("/"), follow=follow)
        return None if trail is None else ResolvedPath("/".join(name for name, _ in trail) or "/", trail[-1][1])

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Give all but the root, folders before what is in them, sorted by the components of the paths."""
        below = [("", iter(sorted(self.root.children.items())))]
        while below:
            prefix, children = below[-1]
            name, node = next(children, (None, self.root))
            if name is None:
                below.pop()
                continue
            yield f"{prefix}{name}", node
            if node.children:
                below.append((f"{prefix}{name}/", iter(sorted(node.children.items()))))

    def entries(self) -> Iterator[TreeEntry]:
        """Give all of it in the order of :meth:`walk`, the root first."""
        seen: dict[int, str] = {}
        yield TreeEntry("", self.root)
        for path, node in self.walk():
            is_folder = node.kind is EntryKind.FOLDER
            yield TreeEntry(path, node, None if is_folder else seen.get(id(node)))
            if not is_folder:
                seen.setdefault(id(node), path)

    def _hide(self, folder: Node, name: str, path: str) -> None:
        if name == OPAQUE:
            self._empty(folder)
            return
        hidden = name.removeprefix(WHITEOUT)
        if hidden in {"", ".", ".."}:
            raise LayerEntryInvalid(f"{quoted(path)} is no whiteout that means anything")
        self._remove(folder, hidden)

    def _remove(self, folder: Node, name: str) -> bool:
        """Take something away, and tell whether it was there."""
        node = folder.children.pop(name, None)
        if node is not None and node.kind in {EntryKind.FOLDER, EntryKind.SYMLINK}:
            self._near.clear()
        return node is not None

    def _empty(self, folder: Node) -> None:
        """Take away what this layer has not named."""
        self._near.clear()
        waiting = [folder]
        while waiting:
            children = waiting.pop().children
            self._steps += len(children)
            for name in [name for name, node in children.items() if node.layer != self._layer]:
                del children[name]
            waiting += [node for node in children.values() if node.children]

    def _linked(self, entry: LayerEntry) -> Node:
        folder, name = self._above(entry.target, make=False)
        node = folder.children.get(name) if folder is not None else None
        if node is None or node.kind is EntryKind.FOLDER:
            raise LayerEntryInvalid(
                f"{quoted(entry.path)} is a link to {quoted(entry.target)}, which is no file of the layers"
            )
        return node

    def _above(self, path: str, *, make: bool) -> tuple[Node | None, str]:
        """The folder that a name in a layer lies in, where there is one, and the last component; the root has none."""
        above, _, name = path.rpartition("/")
        if name in {"", ".", ".."}:
            parts = parts_of(path)
            above, name = "/".join(parts[:-1]), parts[-1] if parts else ""
        if above in self._near:
            return self._near[above], name
        near, _, last = above.rpartition("/")
        if last in {"", ".", ".."}:
            return self._walked(above, make=make), name
        beside = self._near.get(near) or self._walked(near, make=make)
        child = beside.children.get(last) if beside is not None else None
        if beside is not None and child is None and make:
            self._count(len(above))
            child = beside.children[last] = Node(EntryKind.FOLDER)
        if child is None or child.kind is not EntryKind.FOLDER:  # it may be a link
            return self._walked(above, make=make), name
        return self._remember(above, child), name

    def _walked(self, path: str, *, make: bool) -> Node | None:
        """The folder at the end of a path, which is kept for a while."""
        trail = self._trail(parts_of(path), make=make)
        if trail is None or trail[-1][1].kind is not EntryKind.FOLDER:
            return None
        return self._remember(path, trail[-1][1])

    def _remember(self, path: str, folder: Node) -> Node:
        if len(self._near) >= _MOST_NEAR:
            self._near.clear()
        self._near[path] = folder
        return folder

    def _trail(self, parts: list[str], *, follow: bool = True, make: bool = False) -> list[tuple[str, Node]] | None:
        """Everything on the way, by its name, from the root to the end of a path; None where it leads nowhere."""
        ahead = parts[::-1]
        given = len(ahead)  # components from here on were not in a link: folders are made for them alone
        trail = [("", self.root)]
        links = 0
        while ahead:
            self._steps += 1
            part = ahead.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del trail[max(1, len(trail) - 1) :]
                continue
            above = trail[-1][1]
            node = above.children.get(part)
            if node is None:
                if not make or len(ahead) >= given or above.kind is not EntryKind.FOLDER:
                    return None
                self._count(sum(len(name) + 1 for name, _ in trail) + len(part))
                node = above.children[part] = Node(EntryKind.FOLDER)
            if node.kind is EntryKind.SYMLINK and (ahead or follow):
                links += 1
                if links > _MOST_LINKS or len(node.target) > MOST_PATH_BYTES:
                    return None
                if node.target.startswith("/"):
                    del trail[1:]
                given = min(given, len(ahead))
                ahead += reversed(node.target.split("/"))
            else:
                trail.append((part, node))
        return trail

    def _count(self, characters: int) -> None:
        """Count a node that comes to be, and its path."""
        self._entries += 1
        self._characters += characters
        if self._entries > self._limits.entries or self._characters > self._limits.characters:
            self.whole = False
            raise LayersTooLarge("the layers hold more entries than are looked at")
        self._require_steps()

    def _require_steps(self) -> None:
        """Refuse to go on after too many steps. One entry alone may cost some million, by way of links to links."""
        if self._steps > self._limits.steps:
            self.whole = False
            raise LayersTooLarge("the layers lead through more folders and symbolic links than are followed")
