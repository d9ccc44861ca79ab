"""Open an input file whose parts are read by offset. A compressed file or a pipe goes to a temporary file first."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from mirror.authoring.files.safe_files import PIECE_BYTES, FileSpan, reading, temporary_file, write_temporary
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.rootfs.layer_limits import COMMAND_LIMITS

#: Name of the standard input in place of a file.
STANDARD_INPUT: Final = Path("-")
_MAGIC_BYTES: Final = 6


def open_input(place: Path, stack: ExitStack) -> FileSpan:
    """Open a file, and unpack it if it is compressed with gzip, bzip2 or xz.

    Args:
        place: the file. ``-`` is the standard input.
        stack: closes the file. It can be read until then.

    Raises:
        ConfigurationFault: the file cannot be read, is damaged, or unpacks to more than the limits.
        StorageFault: the unpacked content cannot be written.
    """
    name = "the standard input" if place == STANDARD_INPUT else str(place)
    with reading(name):
        descriptor = os.dup(0) if place == STANDARD_INPUT else os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        status = os.fstat(descriptor)
    if os.isatty(descriptor):
        raise ConfigurationFault(f"{name} is a terminal; fix: pipe a tar into the command")
    if stat.S_ISCHR(status.st_mode) and status.st_rdev != Path(os.devnull).stat().st_rdev:
        # Devices such as /dev/zero would fill the disk.
        raise ConfigurationFault(f"{name} is a device; fix: give a tar, an image or a folder")
    span = FileSpan(descriptor, 0, status.st_size, name)
    if not stat.S_ISREG(status.st_mode):
        with open(descriptor, "rb", buffering=0, closefd=False) as pipe:
            span = _spooled(pipe.read, name, stack, None)
    with reading(name):
        head = os.pread(span.descriptor, _MAGIC_BYTES, 0)
    with open(span.descriptor, "rb", closefd=False) as packed:
        packed.seek(0)
        unpacked = _decompressor(head, packed)
        return span if unpacked is None else _spooled(unpacked.read, name, stack, span.size_bytes)


def _decompressor(head: bytes, packed: BinaryIO) -> io.BufferedIOBase | None:
    """Return the content of a compressed file, or None for a file that is not compressed."""
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(packed)
    return lzma.LZMAFile(packed) if head == b"\xfd7zXZ\x00" else None


def _spooled(read: Callable[[int], bytes | None], name: str, stack: ExitStack, packed_bytes: int | None) -> FileSpan:
    """Copy a stream into a file without a name.

    Args:
        read: reads the stream, as :meth:`io.RawIOBase.read` does.
        name: name of the stream in messages.
        stack: closes the file.
        packed_bytes: size of the compressed file; None if the stream is not compressed.
    """
    spool = temporary_file(stack)
    size_bytes = 0
    with _unpacking(name):
        while piece := read(PIECE_BYTES):
            write_temporary(spool, piece)
            size_bytes += len(piece)
            # A pipe has no size to compare with, so only its length is limited.
            problem = COMMAND_LIMITS.broken_by(size_bytes if packed_bytes is None else packed_bytes, size_bytes)
            if problem is not None:
                raise ConfigurationFault(f"{name} {problem.value}")
    return FileSpan(spool.fileno(), 0, size_bytes, name)


@contextmanager
def _unpacking(name: str) -> Iterator[None]:
    """Translate the errors of decompression."""
    try:
        yield
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ConfigurationFault(
            f"{name} cannot be read, because it is damaged or truncated; fix: write it again"
        ) from error
