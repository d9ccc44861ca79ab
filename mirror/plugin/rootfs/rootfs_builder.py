"""Builds the root filesystem that an engine would have after an install, while the bytes of layers pass by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mirror.oci.digest import Hasher, new_hasher
from mirror.oci.errors import LayerEntryInvalid, LayersTooLarge
from mirror.plugin.rootfs.entry import MOST_PATH_BYTES, EntryKind, LayerEntry, Node
from mirror.plugin.rootfs.layer_names import WHITEOUT, is_too_long, parts_of
from mirror.plugin.rootfs.program import Program, ProgramReader
from mirror.plugin.rootfs.root_filesystem import Rootfs
from mirror.plugin.rootfs.tree import Tree, TreeLimits

#: Limits of a tree that is looked at: some 60 MiB of memory.
_LIMITS: Final = TreeLimits(entries=100_000, characters=16 * 1024 * 1024, steps=10_000_000)
_MOST_NOTED: Final = 20
#: Most characters that are kept of what programs say of themselves: one that names libraries without end costs nothing
#: to make, and little to send.
_MOST_SAID_CHARACTERS: Final = 8 * 1024 * 1024


class RootfsBuilder:
    """Builds a :class:`Rootfs` of what it is told of each layer, in order. Implements ``EntryWatcher``.

    An entry that has no place is passed over, and noted, where it would end an install.

    Args:
        names: what is looked for in all files, such as the socket's name.
        digests: whether the content of each file is hashed.
        limits: beyond which the tree does not grow.
    """

    def __init__(self, names: Iterable[bytes] = (), *, digests: bool = False, limits: TreeLimits = _LIMITS) -> None:
        self._tree = Tree(limits)
        self._whiteouts: list[str] = []
        self._links_broken: list[str] = []
        self._too_long: list[str] = []
        self._digests = digests
        self._searches = [_Search(name) for name in dict.fromkeys(names) if name]
        self._said_characters = 0
        self._node: Node | None = None
        self._program: ProgramReader | None = None
        self._hasher: Hasher | None = None

    def begin_layer(self) -> None:
        """As :class:`EntryWatcher` says."""
        self._tree.begin_layer()

    def begin(self, entry: LayerEntry) -> None:
        """As :class:`EntryWatcher` says."""
        self._node = self._program = self._hasher = None
        for search in self._searches:
            search.begin()
        if is_too_long(entry.path):
            self._note(self._too_long, entry.path)
            return
        if WHITEOUT in entry.path and (parts := parts_of(entry.path)) and parts[-1].startswith(WHITEOUT):
            self._note(self._whiteouts, "/".join(parts))
        node = self._placed(entry) if self._tree.whole else None
        if node is not None and entry.kind is EntryKind.FILE:
            self._node = node
            self._program = ProgramReader() if entry.mode & 0o111 or ".so" in entry.path.rpartition("/")[2] else None
            self._hasher = new_hasher() if self._digests else None

    def content(self, buffer: bytes, start: int, stop: int) -> None:
        """As :class:`EntryWatcher` says."""
        for search in self._searches:
            search.feed(buffer, start, stop)
        if self._program is not None:
            self._program.feed(buffer, start, stop)
        if self._hasher is not None:
            self._hasher.update(memoryview(buffer)[start:stop])

    def end(self) -> None:
        """As :class:`EntryWatcher` says."""
        if self._node is not None and self._program is not None:
            self._keep(self._node, self._program.finish())
        if self._node is not None and self._hasher is not None:
            self._node.digest = self._hasher.hexdigest()
        self._node = self._program = self._hasher = None

    @property
    def grows(self) -> bool:
        """Tell whether the tree still grows."""
        return self._tree.whole

    def finish(self) -> Rootfs:
        """Give what it all came to."""
        return Rootfs(
            tree=self._tree,
            mentioned=frozenset(search.name for search in self._searches if search.found),
            whiteouts=tuple(self._whiteouts),
            links_broken=tuple(self._links_broken),
            too_long=tuple(self._too_long),
        )

    def _keep(self, node: Node, program: Program) -> None:
        self._said_characters += program.size_characters
        if self._said_characters > _MOST_SAID_CHARACTERS:
            self._tree.whole = False
        else:
            node.program = program

    def _placed(self, entry: LayerEntry) -> Node | None:
        try:
            return self._tree.place(entry)
        except LayersTooLarge:
            return None
        except LayerEntryInvalid:
            if entry.kind is EntryKind.HARD_LINK:
                self._note(self._links_broken, f"{entry.path} -> {entry.target}")
        return None

    def _note(self, where: list[str], what: str) -> None:
        if len(where) < _MOST_NOTED:
            where.append(what[:MOST_PATH_BYTES])


class _Search:
    """Looks for a name in files that pass by in pieces."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.found = False
        self._tail = b""

    def begin(self) -> None:
        self._tail = b""

    def feed(self, buffer: bytes, start: int, stop: int) -> None:
        if self.found:
            return
        reach = len(self.name) - 1
        joint = self._tail + buffer[start : min(stop, start + reach)]
        self.found = self.name in joint or buffer.find(self.name, start, stop) >= 0
        self._tail = (joint if stop - start < reach else buffer[stop - reach : stop])[-reach:] if reach else b""
