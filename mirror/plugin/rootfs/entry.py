"""Files, folders and links of a root filesystem: as they are read, and as they stand in a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from mirror.oci.errors import ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.program import Program

#: Longest path, and longest name in it, in bytes: the limits of Linux (limits.h), without the zero byte.
MOST_PATH_BYTES: Final = 4095
MOST_NAME_BYTES: Final = 255
_LATEST_SECONDS: Final = 2**34 - 1
_MOST_OWNER: Final = 2**32 - 2
_MOST_DEVICE: Final = 2**20 - 1
_MOST_XATTR_BYTES: Final = 64 * 1024


class EntryKind(Enum):
    """Kinds of entries. The value is the type in a tar."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    FOLDER = b"5"
    PIPE = b"6"

    @property
    def is_device(self) -> bool:
        """Tell whether it is a device node."""
        return self in {EntryKind.CHARACTER_DEVICE, EntryKind.BLOCK_DEVICE}

    @property
    def word(self) -> str:
        """The word for people, such as "hard link"."""
        if self.is_device:
            return "device"
        return "link" if self is EntryKind.SYMLINK else self.name.lower().replace("_", " ")


class Content(Protocol):
    """Content of a file, to be read when it is needed."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces of at most 1 MiB."""
        ...


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """An entry, as it is written in a tar or found in a folder.

    Attributes:
        path: as it is written; bytes outside UTF-8 are surrogates.
        kind: file, folder, link or device.
        mode: permissions, with setuid, setgid and sticky.
        size_bytes: of the content; 0 for everything but files.
        target: of a link, as it is written; of a hard link, a path from the root.
        uid, gid: numeric owners.
        modified_seconds: since 1970.
        device: major and minor number of a device.
        xattrs: extended attributes, raw bytes as surrogates.
        is_sparse: whether only the parts of the content that are not zeros follow in the tar.
        offset_bytes: where the content begins, from the beginning of the tar.
    """

    path: str
    kind: EntryKind
    mode: int
    size_bytes: int = 0
    target: str = ""
    uid: int = 0
    gid: int = 0
    modified_seconds: int = 0
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, str] = field(default_factory=dict)
    is_sparse: bool = False
    offset_bytes: int = 0

    def require_possible(self) -> None:
        """Refuse values that no file on Linux can have.

        Raises:
            ManifestInvalid: there is one, or the file is sparse.
        """
        if self.is_sparse:
            raise ManifestInvalid(f"{quoted(self.path)} is a sparse file: make the archive without --sparse")
        if wrong := next(self._impossible(), None):
            raise ManifestInvalid(f"{quoted(self.path)} has {wrong}")

    def _impossible(self) -> Iterator[str]:
        if self.kind is EntryKind.HARD_LINK:
            return
        if not (0 <= self.uid <= _MOST_OWNER and 0 <= self.gid <= _MOST_OWNER):
            yield "an owner that is no number of 32 bits"
        if self.kind.is_device and not all(0 <= number <= _MOST_DEVICE for number in self.device):
            yield "a device number that does not exist"
        if self.kind is EntryKind.SYMLINK and not (
            0 < byte_length(self.target) <= MOST_PATH_BYTES and "\0" not in self.target
        ):
            yield "a target that no symbolic link can have"
        for name, value in self.xattrs.items():
            if not 0 < byte_length(name) <= MOST_NAME_BYTES or "\0" in name or byte_length(value) > _MOST_XATTR_BYTES:
                yield "an extended attribute that no file can have"


_NO_CHILDREN: Final[dict[str, Node]] = {}


@dataclass(slots=True, eq=False)
class Node:
    """A file, folder, link or device of a tree, whatever its names. One node under two paths is a hard link.

    Attributes:
        kind: what it is; never a hard link.
        mode, uid, gid, modified_seconds, size_bytes, target, device, xattrs: as of :class:`LayerEntry`.
        content: of a file, where it can be read.
        program: of a file, what it is to a kernel that is to start it; None for what is not meant to be started.
        digest: sha256 of a file's content, as hexadecimal, where it was asked for.
        layer: number of the layer that brought it; 0 for a folder that no layer names.
        children: of a folder, by name.
    """

    kind: EntryKind
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    modified_seconds: int = 0
    size_bytes: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, str] = field(default_factory=dict)
    content: Content | None = None
    program: Program | None = None
    digest: str | None = None
    layer: int = 0
    children: dict[str, Node] = field(init=False)

    def __post_init__(self) -> None:
        self.children = {} if self.kind is EntryKind.FOLDER else _NO_CHILDREN

    def describe(self, entry: LayerEntry) -> None:
        """Take over the owner, mode, time and attributes of an entry of the same kind."""
        self.mode, self.uid, self.gid, self.xattrs = entry.mode, entry.uid, entry.gid, entry.xattrs
        self.modified_seconds = entry.modified_seconds if 0 <= entry.modified_seconds <= _LATEST_SECONDS else 0

    @classmethod
    def of(cls, entry: LayerEntry, content: Content | None = None) -> Node:
        """The node of an entry that is no hard link, with its content."""
        is_file = entry.kind is EntryKind.FILE
        node = cls(
            kind=entry.kind,
            size_bytes=entry.size_bytes if is_file else 0,
            target=entry.target if entry.kind is EntryKind.SYMLINK else "",
            device=entry.device if entry.kind.is_device else (0, 0),
            content=content if is_file else None,
        )
        node.describe(entry)
        return node


class EntryWatcher(Protocol):
    """Watches entries as they pass: for each ``begin``, then ``content`` any number of times, then ``end``."""

    def begin_layer(self) -> None:
        """Begin a layer."""
        ...

    def begin(self, entry: LayerEntry) -> None:
        """Begin an entry."""
        ...

    def content(self, buffer: bytes, start: int, stop: int) -> None:
        """Take bytes of its content: those from ``start`` to ``stop`` of a buffer that is not to be kept."""
        ...

    def end(self) -> None:
        """End the entry, which has passed as a whole."""
        ...


class EntryCallback:
    """Hands entries on, without their content. Implements ``EntryWatcher``.

    Args:
        take: given each entry; what it raises ends the reading.
    """

    def __init__(self, take: Callable[[LayerEntry], object]) -> None:
        self._take = take

    def begin_layer(self) -> None:
        """As :class:`EntryWatcher` says."""

    def begin(self, entry: LayerEntry) -> None:
        """As :class:`EntryWatcher` says."""
        self._take(entry)

    def content(self, buffer: bytes, start: int, stop: int) -> None:
        """As :class:`EntryWatcher` says."""

    def end(self) -> None:
        """As :class:`EntryWatcher` says."""


def byte_length(text: str) -> int:
    """Length of a name or value in bytes."""
    return len(text.encode("utf-8", "surrogateescape"))
