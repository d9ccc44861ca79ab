"""Files, folders and links of a root filesystem: as entries of a layer, and as nodes of a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from mirror.oci.errors import ManifestInvalid
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.program import Program

#: Limits of Linux for a path and for one name of a path, in bytes, without the zero byte (limits.h).
MOST_PATH_BYTES: Final = 4095
MOST_NAME_BYTES: Final = 255
# Largest values that a file on Linux can have.
_LATEST_SECONDS: Final = 2**34 - 1
_MOST_OWNER: Final = 2**32 - 2
_MOST_DEVICE: Final = 2**20 - 1
_MOST_XATTR_BYTES: Final = 64 * 1024


class EntryKind(Enum):
    """Kinds of entries. Each value is the type byte in a tar header."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    FOLDER = b"5"
    PIPE = b"6"

    @property
    def is_device(self) -> bool:
        """True for a character or block device."""
        return self in {EntryKind.CHARACTER_DEVICE, EntryKind.BLOCK_DEVICE}

    @property
    def word(self) -> str:
        """The name of the kind in messages, such as "hard link"."""
        if self.is_device:
            return "device"
        return "link" if self is EntryKind.SYMLINK else self.name.lower().replace("_", " ")


class Content(Protocol):
    """Content of a file that can be read when needed."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most 1 MiB."""
        ...


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """An entry as written in a tar or found in a folder.

    Attributes:
        path: path as written; bytes outside UTF-8 are surrogates.
        kind: file, folder, link, device or pipe.
        mode: permission bits with setuid, setgid and sticky.
        size_bytes: size of the content; 0 for everything except files.
        target: target of a link as written; for a hard link, a path from the root.
        uid, gid: numeric owners.
        modified_seconds: modification time in seconds since 1970.
        device: major and minor number of a device.
        xattrs: extended attributes; raw bytes are surrogates.
        is_sparse: True if the tar holds only the parts of the content that are not zeros.
        offset_bytes: start of the content, counted from the beginning of the tar.
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
        """Check that a file on Linux can have the values of this entry.

        Raises:
            ManifestInvalid: a value is impossible, or the file is sparse.
        """
        if self.is_sparse:
            raise ManifestInvalid(f"{quoted(self.path)} is a sparse file; fix: create the archive without --sparse")
        if wrong := next(self._impossible(), None):
            raise ManifestInvalid(f"{quoted(self.path)} has {wrong}")

    def _impossible(self) -> Iterator[str]:
        """Yield a phrase for each value that no file on Linux can have."""
        # A hard link takes owner, device and attributes from its target. Those in its own header are not used.
        if self.kind is EntryKind.HARD_LINK:
            return
        if not (0 <= self.uid <= _MOST_OWNER and 0 <= self.gid <= _MOST_OWNER):
            yield "an owner that is not a 32-bit number"
        if self.kind.is_device and not all(0 <= number <= _MOST_DEVICE for number in self.device):
            yield "a device number that does not exist"
        if self.kind is EntryKind.SYMLINK and not (
            0 < byte_length(self.target) <= MOST_PATH_BYTES and "\0" not in self.target
        ):
            yield "a target that no symbolic link can have"
        for name, value in self.xattrs.items():
            if not 0 < byte_length(name) <= MOST_NAME_BYTES or "\0" in name or byte_length(value) > _MOST_XATTR_BYTES:
                yield "an extended attribute that no file can have"


# One shared dictionary for everything except folders: a tree holds up to half a million nodes.
_NO_CHILDREN: Final[dict[str, Node]] = {}


@dataclass(slots=True, eq=False)
class Node:
    """A file, folder, link or device of a tree, independent of its names. A node under two paths is a hard link.

    Attributes:
        kind: kind of the node; never a hard link.
        mode, uid, gid, modified_seconds, size_bytes, target, device, xattrs: as in :class:`LayerEntry`.
        content: source of a file's content, if the content can be read.
        program: executable format of a file; None for files that are not meant to be started.
        digest: sha256 of a file's content in hexadecimal, if the content was read.
        layer: number of the layer that brought the node; 0 for a folder that no layer names.
        children: nodes in a folder, by name.
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
        """Copy the owner, mode, time and extended attributes of an entry of the same kind."""
        self.mode, self.uid, self.gid, self.xattrs = entry.mode, entry.uid, entry.gid, entry.xattrs
        self.modified_seconds = entry.modified_seconds if 0 <= entry.modified_seconds <= _LATEST_SECONDS else 0

    @classmethod
    def of(cls, entry: LayerEntry, content: Content | None = None) -> Node:
        """Return the node of an entry and its content. The entry must not be a hard link."""
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
    """Observer of entries: for each, one call of ``begin``, any number of ``content``, and one of ``end``."""

    def begin_layer(self) -> None:
        """Note that the entries of another layer follow."""
        ...

    def begin(self, entry: LayerEntry) -> None:
        """Note the start of an entry."""
        ...

    def content(self, buffer: bytes, start: int, stop: int) -> None:
        """Receive content of the current entry.

        Args:
            buffer: a buffer that must not be kept.
            start: beginning of the content in the buffer.
            stop: end of the content in the buffer.
        """
        ...

    def end(self) -> None:
        """Note that the entry and its whole content have passed."""
        ...


class EntryCallback:
    """Watcher that passes each entry to a callback and ignores contents. Implements ``EntryWatcher``.

    Args:
        take: called with each entry; an exception from the callback ends the reading.
    """

    def __init__(self, take: Callable[[LayerEntry], object]) -> None:
        self._take = take

    def begin_layer(self) -> None:
        """Do nothing."""

    def begin(self, entry: LayerEntry) -> None:
        """Pass the entry to the callback."""
        self._take(entry)

    def content(self, buffer: bytes, start: int, stop: int) -> None:
        """Ignore the content."""

    def end(self) -> None:
        """Do nothing."""


def byte_length(text: str) -> int:
    """Return the length of a name or value in bytes."""
    return len(text.encode("utf-8", "surrogateescape"))
