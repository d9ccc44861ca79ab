"""Reading of content that is verified as it is read. All calls block."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.oci.errors import StorageDamaged

#: Bytes between two yields.
PIECE_BYTES: Final = 4 * 1024 * 1024
#: Errors of a disk that has lost content. Any other error, such as a missing right, has nothing to do with the content.
_OF_DAMAGE: Final = frozenset({errno.ENOENT, errno.EIO, errno.EISDIR, errno.ELOOP})


@contextmanager
def opened(file: Path, digest: Digest, size_bytes: int | None = None) -> Iterator[int]:
    """Open a file of content for reading, never through a link.

    Raises:
        StorageDamaged: the file is missing, has another size, or the disk cannot read it.
        OSError: the file cannot be opened for another reason.
    """
    with _of_damage(digest):
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        actual_bytes = os.fstat(descriptor).st_size
        if size_bytes is not None and actual_bytes != size_bytes:
            raise StorageDamaged(f"it has {actual_bytes} bytes, not {size_bytes}", digest=digest)
        yield descriptor
    finally:
        os.close(descriptor)


def verified_pieces(descriptor: int, digest: Digest) -> Iterator[bytes]:
    """Yield the bytes of an open file from its start, and verify them.

    Raises:
        StorageDamaged: at the end, the bytes have another digest; or the disk cannot read them.
    """
    hasher = new_hasher(digest.algorithm)
    offset = 0
    while True:
        with _of_damage(digest):
            piece = os.pread(descriptor, PIECE_BYTES, offset)
        if not piece:
            break
        hasher.update(piece)
        offset += len(piece)
        yield piece
    if hasher.hexdigest() != digest.hex:
        raise StorageDamaged("its bytes have another digest", digest=digest)


@contextmanager
def _of_damage(digest: Digest) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StorageDamaged("its file is missing", digest=digest) from error
    except OSError as error:
        if error.errno in _OF_DAMAGE:
            raise StorageDamaged(f"its file cannot be read: {error.strerror}", digest=digest) from error
        raise
