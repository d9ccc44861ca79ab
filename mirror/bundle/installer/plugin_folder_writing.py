"""Writing of a plugin as a folder for ``docker plugin create``."""

import os
import shutil
import stat
import tarfile
import zlib
from typing import IO, Any, Dict, Iterator, List

from mirror.bundle.installer.bundle_bytes import PIECE_BYTES
from mirror.bundle.installer.installer_fault import InstallerFault
from mirror.bundle.installer.layered_files import LayeredFile, LayeredFiles

#: A layer may unpack to 1 GiB, and to 200 times its size.
_ALLOWANCE_BYTES, _RATIO = 1024**3, 200
_MOST_TAR_BYTES = 64 * 1024**3
_GZIP = b"\x1f\x8b"
_DEVICES = {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}


def write_unpacked(chunks: Iterator[bytes], size_bytes: int, tar: IO[bytes]) -> None:
    """Write a layer to a file as an uncompressed tar.

    Args:
        chunks: the layer, compressed with gzip or not at all.
        size_bytes: size of the layer.
        tar: file to write.

    Raises:
        InstallerFault: the layer is compressed otherwise, damaged, or unpacks to suspiciously much.
    """
    room_bytes = min(_MOST_TAR_BYTES, _ALLOWANCE_BYTES + _RATIO * size_bytes)
    stream: Any = None  # the class of zlib has no public name
    is_first = True
    for chunk in chunks:
        if is_first and chunk.startswith(_GZIP):
            stream = zlib.decompressobj(31)
        is_first = False
        if stream is None:
            tar.write(chunk)
            continue
        rest = chunk
        try:
            while rest:
                if stream.eof:  # gzip allows several members, one after the other
                    stream = zlib.decompressobj(31)
                room_bytes -= tar.write(stream.decompress(rest, PIECE_BYTES))
                rest = stream.unconsumed_tail or stream.unused_data
                if room_bytes < 0:
                    raise InstallerFault("a layer unpacks to more than is plausible for {} bytes".format(size_bytes))
        except zlib.error as error:
            for _ in chunks:  # if the bundle is damaged, this raises the error that says so
                pass
            raise InstallerFault("a layer is not valid gzip: {}".format(error)) from error
    if stream is not None:
        room_bytes -= tar.write(stream.flush())
        if not stream.eof:
            raise InstallerFault("a layer ends too early")
    tar.flush()


def write_plugin(folder: str, config: bytes, files: LayeredFiles) -> List[str]:
    """Write ``config.json`` and ``rootfs`` into an empty folder that only this user may enter.

    Args:
        folder: the folder.
        config: bytes of the config.
        files: the root filesystem.

    Returns:
        Sentences about what could not be written.

    Raises:
        OSError: a file cannot be written.
    """
    with open(os.path.join(folder, "config.json"), "xb") as file:
        file.write(config)
    # Paths are bytes, so that the locale of the host does not matter.
    rootfs = os.fsencode(os.path.join(folder, "rootfs"))
    os.mkdir(rootfs, 0o700)
    writer = _Writer()
    folders = [(rootfs, files.root)]
    for path, each in files.walk():
        whole = rootfs + b"/" + _encoded_name(path)
        writer.write(whole, each)
        if each.is_folder:
            folders.append((whole, each))
    # Children first: a folder that is finished may be read-only.
    for whole, each in reversed(folders):
        writer.finish(whole, each)
    return writer.notes()


def remove_plugin(folder: str) -> None:
    """Remove a folder, also below folders that forbid it to their owner."""
    whole = os.fsencode(folder)
    for place, folders, _ in os.walk(whole):
        for name in folders:
            path = os.path.join(place, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(whole, ignore_errors=True)


class _Writer:
    def __init__(self) -> None:
        self._is_root = os.geteuid() == 0
        self._devices_left_out = self._xattrs_left_out = 0
        self._written: Dict[int, bytes] = {}

    def write(self, path: bytes, file: LayeredFile) -> None:
        """Create a file at a path at which nothing is."""
        earlier = None if file.is_folder else self._written.setdefault(id(file), path)
        if file.kind in _DEVICES and not self._is_root:
            self._devices_left_out += 1
        elif earlier is not None and earlier != path:
            os.link(earlier, path, follow_symlinks=False)
        elif file.is_folder:
            os.mkdir(path, 0o700)
        elif file.kind == tarfile.SYMTYPE:
            os.symlink(_encoded_name(file.target), path)
            if self._is_root:
                os.chown(path, file.uid, file.gid, follow_symlinks=False)
            os.utime(path, (file.modified_seconds, file.modified_seconds), follow_symlinks=False)
        else:
            if file.kind == tarfile.FIFOTYPE:
                os.mkfifo(path, 0o600)
            elif file.kind in _DEVICES:
                os.mknod(path, 0o600 | _DEVICES[file.kind], os.makedev(*file.device))
            else:
                _write_content(path, file)
            self.finish(path, file)

    def finish(self, path: bytes, file: LayeredFile) -> None:
        """Set owner, mode, attributes and time, in an order in which all of them survive."""
        if self._is_root:
            os.chown(path, file.uid, file.gid)
        os.chmod(path, file.mode)
        for name, value in file.xattrs.items():
            try:
                os.setxattr(path, _encoded_name(name), value)
            except OSError:
                self._xattrs_left_out += 1
        os.utime(path, (file.modified_seconds, file.modified_seconds))

    def notes(self) -> List[str]:
        """Return sentences about what could not be written."""
        notes = []
        if not self._is_root:
            notes.append("not run as root, so all files of the plugin belong to you; fix: run the installer as root")
        if self._devices_left_out:
            notes.append("{} devices were left out, because only root can create them".format(self._devices_left_out))
        if self._xattrs_left_out:
            notes.append("{} extended attributes could not be set".format(self._xattrs_left_out))
        return notes


def _encoded_name(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _write_content(path: bytes, file: LayeredFile) -> None:
    with open(path, "xb") as target:
        if file.source is None:
            return
        tar, offset, left = file.source
        tar.seek(offset)
        while left:
            chunk = tar.read(min(PIECE_BYTES, left))
            if not chunk:
                raise InstallerFault("a layer ends within a file")
            target.write(chunk)
            left -= len(chunk)
