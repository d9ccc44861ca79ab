"""Files of a data folder that is a cache: their sizes, and the times at which they were read last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from mirror.oci import Digest
from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import DigestInvalid
from mirror.store.content.data_layout import DataLayout


class CachedFile(NamedTuple):
    """A file of content.

    Attributes:
        used_at_ns: time of the last use, in nanoseconds since 1970.
        digest: the content.
        size_bytes: its size.
    """

    used_at_ns: int
    digest: Digest
    size_bytes: int


def cached_files(layout: DataLayout) -> Iterator[CachedFile]:
    """Yield the files of all content. Blocks. Raises OSError."""
    for algorithm in ALGORITHMS:
        for first in range(256):
            with os.scandir(layout.blob_folder(algorithm, f"{first:02x}")) as entries:
                for entry in entries:
                    with suppress(DigestInvalid, FileNotFoundError):  # not ours; or removed meanwhile
                        digest = Digest.parse(f"{algorithm}:{entry.name}")
                        found = entry.stat(follow_symlinks=False)
                        yield CachedFile(max(found.st_atime_ns, found.st_ctime_ns), digest, found.st_size)
