"""Tree of a root filesystem: layers laid over each other as engines do, and paths followed as Linux does.

The rules are those of moby's ``UnpackLayer`` (pkg/archive/diff.go), with which engines unpack plugins in a chroot.
``tests/e2e/test_unpacking.py`` compares them with engines:

- Names are cleaned as text first: ``a/../b`` is ``b``, and ``..`` above the root stays at the root.
- Entries take effect in their order. A whiteout ``.wh.NAME`` also removes a file that its own layer brought before. The
  OCI specification would keep that file.
- An opaque mark ``.wh..wh..opq`` empties its folder, except for names that its own layer brought before.
- Names at the root that begin with ``.wh..wh.`` are metadata and ignored. Engines leave empty folders of them.
- A folder over a folder is merged. Any other entry replaces the old one with everything below.
- Missing parent folders are created with mode 0755 and owner root. The missing target of a link is not.

A tree is built from untrusted layers, so its cost is bounded in entries, characters and steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from mirror.oci.errors import LayerEntryInvalid, LayersTooLarge
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.entry import MOST_PATH_BYTES, Content, EntryKind, LayerEntry, Node
from mirror.plugin.rootfs.layer_limits import MOST_ENTRIES
from mirror.plugin.rootfs.layer_names import OPAQUE, WHITEOUT, is_metadata, parts_of, require_plain

#: Most symbolic links that Linux follows for one path.
_MOST_LINKS: Final = 40
#: Most folders that are remembered by path: the entries of one folder mostly follow each other in a layer.
_MOST_NEAR: Final = 256


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """Limits of the cost of a tree.

    Attributes:
        entries: most files, folders and links ever created in the tree, removed ones included.
        characters: most characters of all their paths together.
        steps: most path components walked in total, also in the targets of links.
    """

    entries: int = MOST_ENTRIES
    characters: int = 1024**3
    steps: int = 100_000_000


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """The end of a path that was followed.

    Attributes:
        path: absolute path without links.
        node: node at the path.
    """

    path: str
    node: Node


class TreeEntry(NamedTuple):
    """One path of a tree. Lists of entries have each folder before its content.

    Attributes:
        path: path from the root, which is ``""``. Components are joined by ``/``, without ``.`` and ``..``.
        node: node at the path.
        same_as: path of an earlier entry for the same file; None if there is none.
    """

    path: str
    node: Node
    same_as: str | None = None


class Tree:
    """A root filesystem, initially an empty folder.

    Attributes:
        root: root folder.
        whole: False once a limit was met and entries may be missing.
    """

    def __init__(self, limits: TreeLimits | None = None) -> None:
        self.root = Node(EntryKind.FOLDER)
        self.whole = True
        self._limits = limits or TreeLimits()
        self._entries = self._characters = self._steps = 0
        self._layer = 0
        # Folders by the names that lead to them; cleared when a folder or link goes, which may change where names lead.
        self._near: dict[str, Node] = {}

    def begin_layer(self) -> None:
        """Begin the next layer."""
        self._layer += 1

    def apply(self, layer: Iterable[tuple[LayerEntry, Content | None]]) -> None:
        """Lay a layer over the tree, and refuse names that only some engines accept.

        Args:
            layer: entries of the layer in their order, with their contents.

        Raises:
            ManifestInvalid: a name is impossible or ambiguous, an entry has no place, or a limit is met.
        """
        self.begin_layer()
        for entry, content in layer:
            require_plain(entry.path)
            if entry.kind is EntryKind.HARD_LINK:
                require_plain(entry.target)
            self.place(entry, content)

    def place(self, entry: LayerEntry, content: Content | None = None) -> Node | None:
        """Put an entry in its place, or apply a whiteout.

        Returns:
            The node of the entry; None for a whiteout or metadata.

        Raises:
            LayerEntryInvalid: the entry has no place.
            LayersTooLarge: the tree has met a limit.
        """
        self._require_steps()
        if is_metadata(entry.path):
            return None
        folder, name = self._above(entry.path, make=True)
        if not name:
            if entry.kind is not EntryKind.FOLDER:
                raise LayerEntryInvalid("the root of a layer is not a folder")
            self.root.describe(entry)
            return self.root
        if folder is None:
            raise LayerEntryInvalid(f"{quoted(entry.path)} lies below something that is not a folder")
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
        """Follow an absolute path through links. Return None if nothing is there. ``..`` above the root is the root.

        Args:
            path: absolute path.
            follow: True to also follow a link at the end of the path.
        """
        trail = self._trail(path.split("/"), follow=follow)
        return None if trail is None else ResolvedPath("/".join(name for name, _ in trail) or "/", trail[-1][1])

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yield path and node of everything except the root. Folders come first, names in sorted order."""
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
        """Yield all entries, the root first, then in the order of :meth:`walk`."""
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
            raise LayerEntryInvalid(f"{quoted(path)} is a whiteout without a meaning")
        self._remove(folder, hidden)

    def _remove(self, folder: Node, name: str) -> bool:
        """Remove a name from a folder. Return True if the name was there."""
        node = folder.children.pop(name, None)
        if node is not None and node.kind in {EntryKind.FOLDER, EntryKind.SYMLINK}:
            self._near.clear()
        return node is not None

    def _empty(self, folder: Node) -> None:
        """Remove everything from a folder that the current layer has not named."""
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
                f"{quoted(entry.path)} is a hard link to {quoted(entry.target)}, which is not a file in the layers"
            )
        return node

    def _above(self, path: str, *, make: bool) -> tuple[Node | None, str]:
        """Return the parent folder of a name in a layer, None if there is none, and the last component."""
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
        if child is None or child.kind is not EntryKind.FOLDER:  # the child may be a link
            return self._walked(above, make=make), name
        return self._remember(above, child), name

    def _walked(self, path: str, *, make: bool) -> Node | None:
        """Walk to a folder from the root and remember it; None if the path does not end at a folder."""
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
        """Return names and nodes from the root to the end of a path; None if the path leads nowhere."""
        ahead = parts[::-1]
        # Folders are created only for the components of the path itself, not for those in the targets of links.
        given = len(ahead)
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
        """Count a new node and its path against the limits."""
        self._entries += 1
        self._characters += characters
        if self._entries > self._limits.entries or self._characters > self._limits.characters:
            self.whole = False
            raise LayersTooLarge("the layers hold more entries than the limit")
        self._require_steps()

    def _require_steps(self) -> None:
        """Check the limit of steps. One entry may cost millions of steps through links to links."""
        if self._steps > self._limits.steps:
            self.whole = False
            raise LayersTooLarge("the layers lead through more folders and symbolic links than the limit")
