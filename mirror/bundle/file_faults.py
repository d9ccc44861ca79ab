"""Translation of errors of files that a bundle is written to."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mirror.oci.errors import StorageFault, StorageFull

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def file_faults(file: Path) -> Iterator[None]:
    """Translate an OSError of writing a file.

    Raises:
        StorageFull: the disk or the quota is full.
        StorageFault: the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageFull(
                f"{file} cannot be written: {error.strerror}; fix: free some space, and run the same command again"
            ) from error
        if error.errno == errno.EFBIG:
            raise StorageFault(
                f"{file} cannot be written: this filesystem holds no file that large; fix: write the bundle in parts "
                "(--split 4095MiB), or to another filesystem"
            ) from error
        raise StorageFault(f"{file} cannot be written: {error.strerror or error}") from error
