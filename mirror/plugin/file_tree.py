"""A root filesystem as a tree of what is in it, without what the files hold; paths are followed as Linux does it.

It comes from outside, so what it may cost is bounded: beyond a number of things, or of steps on the way to them, the
tree stops growing and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mirror.plugin.entry import Entry, EntryKind
from mirror.plugin.program import Program

#: Most files, folders and links of a tree, and most characters of all paths together: some 60 MiB of memory.
MOST_NODES: Final = 100_000
_MOST_CHARACTERS: Final = 16 * 1024 * 1024
#: Most components that are walked over in all, however many entries there are.
_MOST_STEPS: Final = 10_000_000
#: Links that Linux follows on the way to one file, and the longest that it makes.
_MOST_LINKS: Final = 40
_MOST_TARGET_LENGTH: Final = 4095


@dataclass(slots=True)
class Node:
    """Something in the tree. Hard links to the same file are the same node.

    Attributes:
        kind: what it is.
        mode: permission bits.
        size_bytes: of a file.
        target: of a link.
        program: what it is to a kernel that is to start it; None for what is not meant to be started.
        digest: sha256 of a file's content, as hexadecimal, where it was asked for.
        children: of a folder, by name.
    """

    kind: EntryKind
    mode: int = 0o755
    size_bytes: int = 0
    target: str = ""
    program: Program | None = None
    digest: str | None = None
    children: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a path leads.

    Attributes:
        path: the path without links, from the root, beginning with ``/``.
        node: what is there.
    """

    path: str
    node: Node


class FileTree:
    """A root filesystem.

    Attributes:
        whole: whether everything is in it that was added.
    """

    def __init__(self) -> None:
        self.root = Node(EntryKind.FOLDER)
        self.whole = True
        self._nodes = 1
        self._characters = 0
        self._steps = 0

    def add(self, entry: Entry) -> Node | None:
        """Put an entry in its place, over what is there; its folders come into being where they are missing.

        Returns:
            What is there now; None where the tree does not grow any more, or the entry has no place in it.
        """
        parts = parts_of(entry.path)
        if not self._grows():
            return None
        if not parts:
            return self.root
        folder = self._folder(parts[:-1], links=0)
        if folder is None:
            return None
        parent, characters = folder
        if entry.kind is EntryKind.HARD_LINK:
            linked = self.find(f"/{entry.target}", follow=False)
            node = None if linked is None or linked.node.kind is EntryKind.FOLDER else linked.node
        else:
            node = Node(entry.kind, entry.mode, entry.size_bytes, entry.target)
            there = parent.children.get(parts[-1])
            if there is not None and entry.kind is there.kind is EntryKind.FOLDER:
                there.mode = entry.mode
                return there
        if node is None or not self._count(characters + len(parts[-1])):
            return None
        parent.children[parts[-1]] = node
        return node

    def remove(self, path: str) -> None:
        """Take away what is there, with everything below it."""
        parts = parts_of(path)
        parent = self.find("/" + "/".join(parts[:-1])) if parts and self._grows() else None
        if parent is not None:
            parent.node.children.pop(parts[-1], None)

    def find(self, path: str, *, follow: bool = True) -> Found | None:
        """Where an absolute path leads, through links; ``..`` above the root is the root.

        Args:
            path: absolute.
            follow: whether the last component is followed, too, where it is a link.
        """
        ahead = [part for part in reversed(path.split("/")) if part not in {"", "."}]
        trail: list[tuple[str, Node]] = [("", self.root)]
        links = 0
        while ahead:
            self._steps += 1
            part = ahead.pop()
            if part == "..":
                del trail[max(1, len(trail) - 1) :]
                continue
            node = trail[-1][1].children.get(part)
            if node is None:
                return None
            if node.kind is EntryKind.LINK and (ahead or follow):
                links += 1
                if links > _MOST_LINKS or len(node.target) > _MOST_TARGET_LENGTH:
                    return None
                if node.target.startswith("/"):
                    del trail[1:]
                ahead += [part for part in reversed(node.target.split("/")) if part not in {"", "."}]
            else:
                trail.append((part, node))
        return Found("/".join(name for name, _ in trail) or "/", trail[-1][1])

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Everything but the root, folders before what is in them, in the order of their names; paths from the root."""
        waiting = [(name, node) for name, node in sorted(self.root.children.items(), reverse=True)]
        while waiting:
            path, node = waiting.pop()
            yield path, node
            waiting += [(f"{path}/{name}", child) for name, child in sorted(node.children.items(), reverse=True)]

    def _folder(self, parts: list[str], links: int) -> tuple[Node, int] | None:
        """The folder there, made where it is missing, through links to folders, and the length of its path."""
        node, characters = self.root, 0
        for number, part in enumerate(parts):
            self._steps += 1
            characters += len(part) + 1
            child = node.children.get(part)
            if child is None:
                child = Node(EntryKind.FOLDER)
                if not self._count(characters):
                    return None
                node.children[part] = child
            elif child.kind is EntryKind.LINK:
                found = self.find("/" + "/".join(parts[: number + 1]))
                if found is None or links >= _MOST_LINKS:
                    return None
                return self._folder([*parts_of(found.path), *parts[number + 1 :]], links + 1)
            node = child
        return (node, characters) if node.kind is EntryKind.FOLDER else None

    def _grows(self) -> bool:
        """Whether anything more is taken. One entry alone may cost some million steps, by way of links to links."""
        self.whole = self.whole and self._steps <= _MOST_STEPS
        return self.whole

    def _count(self, characters: int) -> bool:
        """One node more, with so long a path."""
        self._nodes += 1
        self._characters += characters
        self.whole = self.whole and self._nodes <= MOST_NODES and self._characters <= _MOST_CHARACTERS
        return self.whole


def parts_of(path: str) -> list[str]:
    """The components of a path from the root. What leads above the root is the root: engines unpack in a chroot."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return parts
