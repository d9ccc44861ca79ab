"""The files of a backup, read from a folder or from a tar. All calls block."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault, StorageDamaged
from mirror.store.backup.backup_document import BackupDocument
from mirror.store.backup.backup_layout import (
    CATALOG,
    DOCUMENT,
    KEY_FILE,
    SUMS,
    SerialFile,
    blob_name,
    parse_name,
    parse_sums_line,
)
from mirror.store.backup.backup_target import read_document, require_apart
from mirror.store.backup.sums_writer import file_digest
from mirror.store.backup.verified_reading import PIECE_BYTES, opened


@dataclass(frozen=True, slots=True)
class BackupMember:
    """A file of a backup.

    Attributes:
        name: name of the file.
        pieces: reads the file. It need not be read. Raises StorageDamaged if the file is missing or cannot be read.
    """

    name: str
    pieces: Iterator[bytes]


class BackupSource(Protocol):
    """A backup that is read once.

    Attributes:
        document: the document, if it is known before the members are read.
    """

    document: BackupDocument | None

    def require_apart(self, data: Path) -> None:
        """Raise ConfigurationFault if a data folder and the backup overlap."""
        ...

    def members(self) -> Iterator[BackupMember]:
        """Yield the files: catalog, key, blobs, sums, and then the document.

        Raises:
            ConfigurationFault: this is no backup.
            StorageDamaged: the backup is damaged, or not complete.
        """
        ...


class FolderSource:
    """A backup in a folder. Implements :class:`BackupSource`.

    Args:
        root: the folder.

    Raises:
        ConfigurationFault: the folder holds no complete backup.
        StorageDamaged: the document or the sums are damaged.
        OSError: the folder cannot be read.
    """

    def __init__(self, root: Path) -> None:
        found = read_document(root)
        if found is None:
            raise ConfigurationFault(
                f"{root} holds no complete backup: there is no {DOCUMENT}; fix: name the folder that 'plugin-mirror "
                "backup' has written"
            )
        self.document: BackupDocument | None = found
        self._root = root
        self._serial = found.serial
        self._sums = root / str(SerialFile(found.serial, SUMS))
        if not self._sums.is_file() or file_digest(self._sums) != found.sums:
            raise StorageDamaged(f"{self._sums} is missing or damaged; fix: use another backup")

    def require_apart(self, data: Path) -> None:
        require_apart(self._root, data)

    def members(self) -> Iterator[BackupMember]:
        yield self._member(SerialFile(self._serial, CATALOG))
        if (self._root / str(SerialFile(self._serial, KEY_FILE))).exists():
            yield self._member(SerialFile(self._serial, KEY_FILE))
        with self._sums.open(encoding="ascii") as lines:
            for line in lines:
                named = parse_sums_line(line)
                digest = None if named is None else parse_name(named[0])
                if isinstance(digest, Digest):
                    yield self._member(digest)
        yield self._member(SerialFile(self._serial, SUMS))
        yield BackupMember(DOCUMENT, iter([(self._root / DOCUMENT).read_bytes()]))

    def _member(self, name: SerialFile | Digest) -> BackupMember:
        written = blob_name(name) if isinstance(name, Digest) else str(name)
        # The digest of other files is in the sums.
        digest = name if isinstance(name, Digest) else Digest.of(b"")
        return BackupMember(written, _pieces(self._root / written, digest))


class TarSource:
    """A backup in a tar. Implements :class:`BackupSource`.

    Args:
        stream: the tar.
        name: name of the stream, for messages.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.document: BackupDocument | None = None
        self._stream = stream
        self._name = name

    def require_apart(self, data: Path) -> None:
        """Do nothing: the folder of a tar has room for a data folder."""

    def members(self) -> Iterator[BackupMember]:
        is_first = True
        try:
            with closing(tarfile.open(fileobj=self._stream, mode="r|")) as tar:
                while (info := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # TarFile would keep all of them
                    is_first = False
                    if not info.isdir():
                        yield BackupMember(info.name.removeprefix("./"), _of_tar(tar, info))
        except (tarfile.TarError, EOFError) as error:
            if is_first:
                raise ConfigurationFault(
                    f"{self._name} is not a backup; fix: name the folder or the tar of a backup"
                ) from error
            raise StorageDamaged(
                f"{self._name} is damaged or ends too early; fix: use the whole tar, or another one"
            ) from error


def _pieces(file: Path, digest: Digest) -> Iterator[bytes]:
    with opened(file, digest) as descriptor, os.fdopen(os.dup(descriptor), "rb", buffering=0) as source:
        while piece := source.read(PIECE_BYTES):
            yield piece


def _of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    source = tar.extractfile(info) if info.isreg() else None
    try:
        while source is not None and (piece := source.read(PIECE_BYTES)):
            yield piece
    except (tarfile.TarError, EOFError) as error:
        raise StorageDamaged(
            f"the tar ends too early, in {info.name}; fix: use the whole tar, or another one"
        ) from error
