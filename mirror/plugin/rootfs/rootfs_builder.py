"""Building the root filesystem that an engine would have after an install, while the bytes of the layers pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from mirror.oci.digest import Hasher, new_hasher
from mirror.oci.errors import LayerEntryInvalid, LayersTooLarge
from mirror.plugin.rootfs.entry import MOST_PATH_BYTES, EntryKind, LayerEntry, Node
from mirror.plugin.rootfs.layer_names import WHITEOUT, is_too_long, parts_of
from mirror.plugin.rootfs.program import Program, ProgramReader
from mirror.plugin.rootfs.root_filesystem import Rootfs
from mirror.plugin.rootfs.tree import Tree, TreeLimits

#: Limits of a tree that is inspected: about 60 MiB of memory.
_LIMITS: Final = TreeLimits(entries=100_000, characters=16 * 1024 * 1024, steps=10_000_000)
_MOST_NOTED: Final = 20
#: Most characters of names kept for all programs together. A program with an endless list of libraries costs its author
#: nothing to make and little to send.
_MOST_SAID_CHARACTERS: Final = 8 * 1024 * 1024
#: Most characters of shell scripts kept, as a part of the limit above. Scripts beyond it are not followed.
_MOST_SCRIPT_CHARACTERS: Final = 4 * 1024 * 1024


class RootfsBuilder:
    """Builder of a :class:`Rootfs` from the entries of each layer, in order. Implements ``EntryWatcher``.

    An entry without a valid place would end an install. The builder skips and records the entry instead, so that all
    faults of a plugin are reported.

    Args:
        names: texts to search for in all files, such as the socket's name.
        digests: True to hash the content of each file, which takes a tenth of the time.
        limits: limits beyond which the tree does not grow.
    """

    def __init__(self, names: Iterable[bytes] = (), *, digests: bool = True, limits: TreeLimits = _LIMITS) -> None:
        self._tree = Tree(limits)
        self._whiteouts: list[str] = []
        self._links_broken: list[str] = []
        self._too_long: list[str] = []
        self._searches = [_Search(name) for name in dict.fromkeys(names) if name]
        self._digests = digests
        self._said_characters = self._script_characters = 0
        self._node: Node | None = None
        self._is_first = True
        self._program: ProgramReader | None = None
        self._hasher: Hasher | None = None

    def begin_layer(self) -> None:
        """Begin the next layer of the tree."""
        self._tree.begin_layer()

    def begin(self, entry: LayerEntry) -> None:
        """Place an entry in the tree, and choose the readers for its content."""
        self._node = self._program = self._hasher = None
        self._is_first = True
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
            # The started program is known only at the end, because links may come later than their targets (ADR 14). So
            # every executable file and every library is read as it passes.
            name = entry.path.rpartition("/")[2]
            is_script = name.endswith(".sh")
            if entry.mode & 0o111 or is_script or ".so" in name:
                self._program = ProgramReader(is_script=is_script)
            self._hasher = new_hasher() if self._digests else None

    def content(self, buffer: bytes, start: int, stop: int) -> None:
        """Search, hash and read the content of the current entry."""
        for search in self._searches:
            search.feed(buffer, start, stop)
        # A shell also reads scripts that are not executable.
        if self._is_first and self._node is not None and self._program is None and buffer.startswith(b"#!", start):
            self._program = ProgramReader()
        self._is_first = False
        if self._program is not None:
            self._program.feed(buffer, start, stop)
        if self._hasher is not None:
            self._hasher.update(memoryview(buffer)[start:stop])

    def end(self) -> None:
        """Store the program and the digest of the current entry in its node."""
        if self._node is not None and self._program is not None:
            self._keep(self._node, self._program.finish())
        if self._node is not None and self._hasher is not None:
            self._node.digest = self._hasher.hexdigest()
        self._node = self._program = self._hasher = None

    @property
    def grows(self) -> bool:
        """True until the tree has met a limit."""
        return self._tree.whole

    def finish(self) -> Rootfs:
        """Return the root filesystem of all layers so far."""
        return Rootfs(
            tree=self._tree,
            mentioned=frozenset(search.name for search in self._searches if search.found),
            whiteouts=tuple(self._whiteouts),
            links_broken=tuple(self._links_broken),
            too_long=tuple(self._too_long),
        )

    def _keep(self, node: Node, program: Program) -> None:
        """Store a program in its node, unless all programs together exceed the limit of characters."""
        if program.script_text is not None:
            self._script_characters += len(program.script_text)
            if self._script_characters > _MOST_SCRIPT_CHARACTERS:
                program = replace(program, script_text=None)
        self._said_characters += program.size_characters
        if self._said_characters > _MOST_SAID_CHARACTERS:
            self._tree.whole = False
        else:
            node.program = program

    def _placed(self, entry: LayerEntry) -> Node | None:
        """Place an entry in the tree, and record a broken hard link. Return None for an entry without a node."""
        try:
            return self._tree.place(entry)
        except LayersTooLarge:
            return None
        except LayerEntryInvalid:
            if entry.kind is EntryKind.HARD_LINK:
                self._note(self._links_broken, f"{entry.path} -> {entry.target}")
        return None

    def _note(self, where: list[str], what: str) -> None:
        """Append a path to one of the lists of faults, up to a fixed number of paths."""
        if len(where) < _MOST_NOTED:
            where.append(what[:MOST_PATH_BYTES])


class _Search:
    """Search for a name in files that pass in pieces."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.found = False
        self._tail = b""

    def begin(self) -> None:
        """Start a new file."""
        self._tail = b""

    def feed(self, buffer: bytes, start: int, stop: int) -> None:
        """Search the next piece, and the seam between the last piece and this one."""
        if self.found:
            return
        reach = len(self.name) - 1
        joint = self._tail + buffer[start : min(stop, start + reach)]
        self.found = self.name in joint or buffer.find(self.name, start, stop) >= 0
        self._tail = (joint if stop - start < reach else buffer[stop - reach : stop])[-reach:] if reach else b""
