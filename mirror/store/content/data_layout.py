"""Paths of the files in the data folder. Pure.

::

    catalog.sqlite                  which repository holds what (and its -wal, -shm)
    catalog-0007.sqlite             copy of the catalog, made before an update of this program changed its tables
    catalog-moved.sqlite            the catalog as it was when ``migrate`` moved it to another database
    names.sqlite                    snapshot of the names and records in the catalog, for ``recover``
    generation                      lock of the writers, and the count of their transactions
    blobs/sha256/ab/abcdef…         content, named by its digest; never written in place
    damaged/sha256-abcdef…          damaged content that was set aside, until whole bytes come
    token.key                       key that signs the tokens of clients; readable by its owner only
    reserve                         space given up when the disk is full, so that the store still opens
    reserve-1 … reserve-8           the same for inodes
    uploads/ID/session.json, data   upload session of a client
    uploads/sha256-ABCDEF…/…        download of a blob from an upstream, with the same files
    uploads/….manifest              bytes of a manifest before they move to blobs/
    locks/.store                    lock that every process on the folder shares
    restoring                       the folder is the target of a restore that is not complete
    recovering/                     a catalog that ``recover`` is making
    audit/                          files of the audit
    audit.key                       key that signs the checkpoints of the audit
    tls/                            certificates and keys that ``tls init`` and ``tls client`` have made
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.oci import Digest
from mirror.oci.digest import ALGORITHMS

_CATALOG_COPY = re.compile(r"catalog-[0-9]+\.sqlite")
_SPARE_FILE = re.compile(r"reserve-[0-9]")
#: SQLite needs two files beside the catalog, and a rule its lock.
_SPARE_FILES: Final = 8
#: Names in the data folder, without the catalog and its copies. ``lost+found`` exists where the folder is the root of
#: a filesystem.
_NAMES = frozenset(
    {
        *("generation", "token.key", "reserve", "blobs", "damaged", "uploads", "limits", "locks", "bundles"),
        *(
            "catalog-moved.sqlite",
            "names.sqlite",
            "names.sqlite.part",
            "restoring",
            "recovering",
            "tls",
            "audit",
            "audit.key",
            "lost+found",
        ),
    }
)
#: A UUID. An id from a request becomes a path only if it matches, so it cannot leave the folder ``uploads``.
_UPLOAD_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class DataLayout:
    """The paths of one data folder.

    Attributes:
        root: the data folder.
        private_state: folder of the files that change, if the data folder itself must not be written; None for the data
            folder.
    """

    root: Path
    private_state: Path | None = None

    @property
    def state(self) -> Path:
        """Folder of the files that change: everything but the blobs."""
        return self.private_state or self.root

    @property
    def catalog(self) -> Path:
        return self.state / "catalog.sqlite"

    @property
    def moved_catalog(self) -> Path:
        """The catalog that was moved to another database."""
        return self.state / "catalog-moved.sqlite"

    def catalog_copy(self, revision: str) -> Path:
        """Return the path of the catalog copy that has the given revision of the tables."""
        return self.state / f"catalog-{revision}.sqlite"

    @property
    def generation(self) -> Path:
        return self.state / "generation"

    @property
    def token_key(self) -> Path:
        return self.state / "token.key"

    @property
    def audit_key(self) -> Path:
        return self.state / "audit.key"

    @property
    def reserve(self) -> Path:
        return self.state / "reserve"

    @property
    def spare_files(self) -> tuple[Path, ...]:
        """Empty files that are given up when the disk has no inode left, so that the store still opens."""
        return tuple(self.state / f"reserve-{number}" for number in range(1, _SPARE_FILES + 1))

    @property
    def names(self) -> Path:
        """Snapshot of the names in the catalog."""
        return self.state / "names.sqlite"

    @property
    def restoring(self) -> Path:
        """Marker of a restore that is not complete."""
        return self.root / "restoring"

    @property
    def recovering(self) -> Path:
        """Folder of a catalog that is being rebuilt."""
        return self.root / "recovering"

    @property
    def uploads(self) -> Path:
        return self.state / "uploads"

    def upload(self, upload_id: str) -> UploadLayout:
        """Return the files of an upload session."""
        return UploadLayout(self.uploads / upload_id)

    def download(self, digest: Digest) -> UploadLayout:
        """Return the files of a download from an upstream."""
        return self.upload(f"{digest.algorithm}-{digest.hex}")

    def blob(self, digest: Digest) -> Path:
        """Return the path of the blob file of ``digest``."""
        return self.blob_folder(digest.algorithm, digest.hex[:2]) / digest.hex

    def blob_folder(self, algorithm: str, prefix: str) -> Path:
        """Return the folder of the blob files whose digests begin with two hexadecimal digits."""
        return self.root.joinpath("blobs", algorithm, prefix)

    @property
    def damaged(self) -> Path:
        return self.root / "damaged"

    def set_aside(self, digest: Digest) -> Path:
        """Return the path of damaged content that was set aside."""
        return self.damaged / f"{digest.algorithm}-{digest.hex}"

    def folders(self) -> Iterator[Path]:
        """Yield every folder that the store creates, parents before their children."""
        yield self.uploads
        if self.private_state is not None:
            return
        yield self.damaged
        yield self.root / "blobs"
        for algorithm in ALGORITHMS:
            yield self.root / "blobs" / algorithm
            # All created when the store opens, so that storing a blob never has to create and sync a folder.
            for first in range(256):
                yield self.root / "blobs" / algorithm / f"{first:02x}"


def is_ours(name: str) -> bool:
    """Check whether a name belongs to a file or folder of a data folder."""
    known = name in _NAMES or name.startswith("catalog.sqlite")
    return known or any(pattern.fullmatch(name) for pattern in (_CATALOG_COPY, _SPARE_FILE))


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
    """Check whether ``text`` has the form of an upload session id, which is also the name of the session's folder."""
    return _UPLOAD_ID.fullmatch(text) is not None
