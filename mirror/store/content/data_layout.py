"""Where things lie in the data folder. Pure.

::

    catalog.sqlite                  which repository holds what (and its -wal, -shm)
    catalog-0007.sqlite             the catalog as it was before an update of this program changed its tables
    generation                      lock of the writers, and the count of their transactions
    blobs/sha256/ab/abcdef…         content, named by its digest; never written in place
    token.key                       signs the tokens that are given to clients; for the owner's eyes
    reserve                         space given up when the disk is full, so that the store still opens
    uploads/ID/session.json, data   a blob that is being received
    uploads/sha256-ABCDEF…/…        a blob that is being fetched from elsewhere, with the same files
    uploads/….manifest              a manifest's bytes on their way into blobs/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mirror.oci import Digest
from mirror.oci.digest import ALGORITHMS

_CATALOG_COPY = re.compile(r"catalog-[0-9]+\.sqlite")
#: Names in the data folder, beside those of the catalog and its copies; file systems have ``lost+found``.
_NAMES = frozenset({"generation", "token.key", "reserve", "blobs", "uploads", "limits", "locks", "lost+found"})
_UPLOAD_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class DataLayout:
    """The paths of one data folder.

    Attributes:
        root: the data folder.
    """

    root: Path

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.sqlite"

    def catalog_copy(self, revision: str) -> Path:
        """The copy of the catalog as it was at a revision of its tables."""
        return self.root / f"catalog-{revision}.sqlite"

    @property
    def generation(self) -> Path:
        return self.root / "generation"

    @property
    def token_key(self) -> Path:
        return self.root / "token.key"

    @property
    def reserve(self) -> Path:
        return self.root / "reserve"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    def upload(self, upload_id: str) -> UploadLayout:
        """The files of an upload session."""
        return UploadLayout(self.uploads / upload_id)

    def download(self, digest: Digest) -> UploadLayout:
        """The files of a blob that is fetched from elsewhere."""
        return self.upload(f"{digest.algorithm}-{digest.hex}")

    def blob(self, digest: Digest) -> Path:
        """The file that holds the bytes of ``digest``."""
        return self.root.joinpath("blobs", digest.algorithm, digest.hex[:2], digest.hex)

    def folders(self) -> Iterator[Path]:
        """Every folder that must exist, each after the one it lies in."""
        yield self.uploads
        yield self.root / "blobs"
        for algorithm in ALGORITHMS:
            yield self.root / "blobs" / algorithm
            for first in range(256):
                yield self.root / "blobs" / algorithm / f"{first:02x}"


def is_ours(name: str) -> bool:
    """Tell whether a name belongs to a file or folder of a data folder."""
    return name in _NAMES or name.startswith("catalog.sqlite") or _CATALOG_COPY.match(name) is not None


@dataclass(frozen=True, slots=True)
class UploadLayout:
    """The files of one upload session."""

    folder: Path

    @property
    def session(self) -> Path:
        return self.folder / "session.json"

    @property
    def data(self) -> Path:
        return self.folder / "data"


def is_upload_id(text: str) -> bool:
    """Tell whether ``text`` can be the id of an upload session, which is the name of its folder."""
    return _UPLOAD_ID.fullmatch(text) is not None
