"""Paths of a backup, the same in a folder and in a tar, and the lines of its sums. Pure.

::

    backup.json                  the backup: when and of what it was made, and the digest of its sums; written last
    7/catalog.sqlite             copy of the catalog, of the seventh backup into this folder
    7/token.key                  key that signs the tokens of clients; absent if the data folder has none
    7/sums                       digests of the files above and of all blobs; ``cksum --check 7/sums`` compares them
    blobs/sha256/ab/abcdef…      content, named by its digest
    lock                         lock of the process that writes the folder
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mirror.oci import Digest
from mirror.oci.errors import DigestInvalid

DOCUMENT: Final = "backup.json"
LOCK: Final = "lock"
BLOBS: Final = "blobs"
CATALOG: Final = "catalog.sqlite"
KEY_FILE: Final = "token.key"
SUMS: Final = "sums"
_OF_SERIAL = re.compile(rf"([1-9][0-9]{{0,17}})/({re.escape(CATALOG)}|{re.escape(KEY_FILE)}|{SUMS})")
_OF_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]{2})/([0-9a-f]+)")
_LINE = re.compile(r"(SHA256|SHA512) \(([^()]+)\) = ([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class SerialFile:
    """A file that belongs to one backup alone.

    Attributes:
        serial: number of the backup, which grows with each backup into the same folder.
        kind: :data:`CATALOG`, :data:`KEY_FILE` or :data:`SUMS`.
    """

    serial: int
    kind: str

    def __str__(self) -> str:
        return f"{self.serial}/{self.kind}"


def blob_name(digest: Digest) -> str:
    """Return the name of a blob in a backup."""
    return f"{BLOBS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def parse_name(name: str) -> SerialFile | Digest | None:
    """Return the file of one backup, or the blob, that has a name; None for any other name."""
    if (match := _OF_SERIAL.fullmatch(name)) is not None:
        return SerialFile(int(match[1]), match[2])
    if (match := _OF_BLOB.fullmatch(name)) is None:
        return None
    try:
        digest = Digest.parse(f"{match[1]}:{match[3]}")
    except DigestInvalid:
        return None
    return digest if digest.hex.startswith(match[2]) else None


def sums_line(name: str, digest: Digest) -> str:
    """Return the line of a file, in the tagged form of ``cksum``."""
    return f"{digest.algorithm.upper()} ({name}) = {digest.hex}\n"


def parse_sums_line(line: str) -> tuple[str, Digest] | None:
    """Return name and digest in a line of :func:`sums_line`; None for any other line."""
    match = _LINE.fullmatch(line.removesuffix("\n"))
    if match is None:
        return None
    try:
        return match[2], Digest.parse(f"{match[1].lower()}:{match[3]}")
    except DigestInvalid:
        return None
