"""The root filesystem of a plugin: its layers laid over each other as engines do, in memory.

The rules are those of :mod:`mirror.plugin.rootfs.tree`. Paths are followed here and never by the operating system, so a
layer cannot lead out of the root filesystem.
"""

import tarfile
from typing import IO, Any, Dict, Iterator, List, Optional, Tuple

from mirror.bundle.installer.installer_fault import InstallerFault

WHITEOUT, _OPAQUE, _METADATA = ".wh.", ".wh..wh..opq", ".wh..wh."
_XATTR = "SCHILY.xattr."
_MOST_LINKS = 40
_MOST_ENTRIES = 500_000
_MOST_STEPS = 100_000_000
_MOST_READ_BYTES = 1024 * 1024
_LATEST_SECONDS = 2**34 - 1
_KINDS = {
    tarfile.REGTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
}


class LayeredFile:
    """A file, folder, link or device. Under two paths, it is a hard link.

    Args:
        kind: type byte of the tar header; never a hard link.

    Attributes:
        kind: as above.
        mode, uid, gid, modified_seconds: of the file.
        target: target of a symbolic link.
        device: major and minor number.
        xattrs: extended attributes.
        source: open tar with the content, offset and size; None for everything except files.
        layer: number of the layer that brought the file; 0 for a folder that no layer names.
        children: content of a folder.
    """

    __slots__ = (
        "children",
        "device",
        "gid",
        "kind",
        "layer",
        "mode",
        "modified_seconds",
        "source",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(self, kind: bytes = tarfile.DIRTYPE) -> None:
        self.kind = kind
        self.mode, self.uid, self.gid, self.modified_seconds = 0o755, 0, 0, 0
        self.target = ""
        self.device = (0, 0)
        self.xattrs: Dict[str, bytes] = {}
        self.source: Optional[Tuple[IO[bytes], int, int]] = None
        self.layer = 0
        self.children: Dict[str, LayeredFile] = {}

    @property
    def is_folder(self) -> bool:
        """True for a folder."""
        return self.kind == tarfile.DIRTYPE

    def describe(self, entry: tarfile.TarInfo) -> None:
        """Take owner, mode, time and extended attributes from an entry of a layer."""
        if not (0 <= entry.uid < 2**32 - 1 and 0 <= entry.gid < 2**32 - 1):
            raise ValueError("{!r} has an owner that is not a 32-bit number".format(entry.name))
        self.mode, self.uid, self.gid = entry.mode & 0o7777, entry.uid, entry.gid
        seconds = int(entry.mtime)
        self.modified_seconds = seconds if 0 <= seconds <= _LATEST_SECONDS else 0
        self.xattrs = {
            key[len(_XATTR) :]: value.encode("utf-8", "surrogateescape")
            for key, value in entry.pax_headers.items()
            if key.startswith(_XATTR)
        }


class LayeredFiles:
    """A root filesystem, initially empty.

    Attributes:
        root: root folder.
    """

    def __init__(self) -> None:
        self.root = LayeredFile()
        self._layer = self._entries = self._steps = 0

    def add_layer(self, tar: IO[bytes]) -> None:
        """Lay a layer over the files. The tar must stay open as long as its contents are needed.

        Args:
            tar: the uncompressed layer, seekable.

        Raises:
            InstallerFault: the tar is invalid, or engines cannot unpack it.
        """
        self._layer += 1
        try:
            tar.seek(0)
            headers: Any = _Headers(tar)  # tarfile asks for less than the type of its argument says
            with tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
                for entry in iter(archive.next, None):
                    self._entries += 1
                    if self._entries > _MOST_ENTRIES:
                        raise InstallerFault("the plugin has more than {} files".format(_MOST_ENTRIES))
                    # tarfile applies global headers to the entries after them, and engines do not.
                    if entry.issparse() or set(archive.pax_headers) - {"comment"}:
                        raise InstallerFault(
                            "a layer has a sparse file or global headers, which engines read otherwise"
                        )
                    self._place(entry, tar)
                    archive.members = []  # type: ignore[attr-defined]  # tarfile keeps all entries
                # tarfile ends at an invalid header without an error. Engines refuse such a layer.
                tar.seek(archive.offset)
                if tar.read(1024).strip(b"\0"):
                    raise InstallerFault("a layer is damaged after byte {}".format(archive.offset))
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise InstallerFault("a layer is not a valid tar: {}".format(error)) from error

    def walk(self) -> Iterator[Tuple[str, LayeredFile]]:
        """Yield path and file of everything except the root. Folders come before their content."""
        below = [("", iter(sorted(self.root.children.items())))]
        while below:
            prefix, children = below[-1]
            name, file = next(children, ("", self.root))
            if not name:
                below.pop()
                continue
            yield prefix + name, file
            if file.children:
                below.append((prefix + name + "/", iter(sorted(file.children.items()))))

    def _place(self, entry: tarfile.TarInfo, tar: IO[bytes]) -> None:
        """Put an entry in its place, or apply a whiteout."""
        kind = tarfile.REGTYPE if entry.type == tarfile.AREGTYPE else entry.type
        if kind not in _KINDS:
            raise InstallerFault("{!r} in a layer has a type that engines refuse".format(entry.name))
        parts = _plain_parts(entry.name)
        if kind == tarfile.LNKTYPE:
            _plain_parts(entry.linkname)  # also of a whiteout, which leads nowhere
        if _is_metadata(parts):
            return
        folder = self._folder(parts[:-1], make=True)
        if folder is None:
            raise InstallerFault("{!r} in a layer lies below something that is not a folder".format(entry.name))
        if not parts:
            if kind != tarfile.DIRTYPE:
                raise InstallerFault("the root of a layer is not a folder")
            self.root.describe(entry)
        elif parts[-1].startswith(WHITEOUT):
            self._hide(folder, parts[-1])
        else:
            self._put(folder, parts[-1], kind, entry, tar)

    def _put(self, folder: LayeredFile, name: str, kind: bytes, entry: tarfile.TarInfo, tar: IO[bytes]) -> None:
        existing = folder.children.pop(name, None)
        if kind == tarfile.LNKTYPE:
            file = self._linked(entry)
        elif existing is not None and kind == existing.kind == tarfile.DIRTYPE:
            file = existing
            file.describe(entry)
        else:
            file = LayeredFile(kind)
            file.describe(entry)
            file.target = entry.linkname if kind == tarfile.SYMTYPE else ""
            if kind in {tarfile.CHRTYPE, tarfile.BLKTYPE}:
                if not (0 <= entry.devmajor < 2**12 and 0 <= entry.devminor < 2**20):
                    raise ValueError("{!r} has a device number that does not exist".format(entry.name))
                file.device = (entry.devmajor, entry.devminor)
            if kind == tarfile.REGTYPE:
                file.source = (tar, entry.offset_data, entry.size)
        file.layer = self._layer
        folder.children[name] = file

    def _hide(self, folder: LayeredFile, name: str) -> None:
        if name != _OPAQUE:
            if name[len(WHITEOUT) :] in {"", ".", ".."}:
                raise InstallerFault("{!r} in a layer is a whiteout without a meaning".format(name))
            folder.children.pop(name[len(WHITEOUT) :], None)
            return
        waiting = [folder]
        while waiting:
            children = waiting.pop().children
            self._step(len(children))
            for other in [other for other, file in children.items() if file.layer != self._layer]:
                del children[other]
            waiting += [file for file in children.values() if file.children]

    def _linked(self, entry: tarfile.TarInfo) -> LayeredFile:
        parts = _parts(entry.linkname)
        folder = self._folder(parts[:-1], make=False)
        file = folder.children.get(parts[-1]) if folder is not None and parts else None
        if file is None or file.is_folder:
            raise InstallerFault(
                "{!r} in a layer is a hard link to {!r}, which is not a file".format(entry.name, entry.linkname)
            )
        return file

    def _folder(self, parts: List[str], make: bool) -> Optional[LayeredFile]:
        """Return the folder at a path, through links; None if there is none.

        Args:
            parts: components of the path.
            make: True to create missing folders of the path itself, not those in the targets of links.
        """
        ahead = parts[::-1]
        given, links = len(ahead), 0
        trail = [self.root]
        while ahead:
            self._step()
            part = ahead.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del trail[max(1, len(trail) - 1) :]
                continue
            file = trail[-1].children.get(part)
            if file is None:
                if not make or len(ahead) >= given or not trail[-1].is_folder:
                    return None
                file = trail[-1].children[part] = LayeredFile()
            if file.kind != tarfile.SYMTYPE:
                trail.append(file)
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            if file.target.startswith("/"):
                del trail[1:]
            given = min(given, len(ahead))
            ahead += reversed(file.target.split("/"))
        return trail[-1] if trail[-1].is_folder else None

    def _step(self, steps: int = 1) -> None:
        """Count the work. One entry may cost millions of steps through links to links."""
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise InstallerFault("the layers lead through too many folders and links")


class _Headers:
    """The part of a file that tarfile needs. Names and attributes of one entry have at most 1 MiB, as in engines."""

    def __init__(self, tar: IO[bytes]) -> None:
        self._tar = tar
        self.seek, self.tell = tar.seek, tar.tell

    def read(self, size_bytes: int) -> bytes:
        """Return the next bytes."""
        if not 0 <= size_bytes <= _MOST_READ_BYTES:
            raise InstallerFault("a layer has a name or attributes of {} bytes".format(size_bytes))
        return self._tar.read(size_bytes)


def _plain_parts(name: str) -> List[str]:
    """Return the components of a name. Raises InstallerFault if not all engines accept the name."""
    parts = _parts(name)
    if any(part.startswith(WHITEOUT) for part in parts[:-1]) and not _is_metadata(parts):
        raise InstallerFault("{!r} in a layer is a whiteout without a meaning".format(name))
    return parts


def _is_metadata(parts: List[str]) -> bool:
    return bool(parts) and parts[0].startswith(_METADATA) and parts != [_OPAQUE]


def _parts(path: str) -> List[str]:
    """Return the components of a name, cleaned as engines clean it.

    Raises:
        InstallerFault: the name leads out of the layer, or holds a zero byte.
    """
    parts: List[str] = []
    depth = 0
    for part in path.split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0 or "\0" in part:
            raise InstallerFault("{!r} leads out of the layer".format(path))
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return parts
