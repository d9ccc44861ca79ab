"""The document of a backup: what it was made of, and the digest from which all others follow. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mirror.oci import Digest
from mirror.oci.errors import DigestInvalid, StorageDamaged
from mirror.oci.timestamps import machine_time

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class BackupDocument:
    """The document of a complete backup.

    Attributes:
        serial: number of the backup in its folder.
        created: time of the copy of the catalog.
        source: absolute path of the data folder.
        program: version of the program.
        revision: revision of the tables of the catalog.
        blobs: number of blobs.
        size_bytes: size of all blobs.
        sums: digest of the file of sums.
        damaged: problems of the blobs that the data folder no longer had, by digest. The backup lacks them.
    """

    serial: int
    created: datetime
    source: str
    program: str
    revision: str
    blobs: int
    size_bytes: int
    sums: Digest
    damaged: Mapping[str, str]

    def encode(self) -> bytes:
        """Return the document as JSON."""
        value = {
            "format": _FORMAT,
            "serial": self.serial,
            "created": machine_time(self.created),
            "source": self.source,
            "program": self.program,
            "revision": self.revision,
            "blobs": self.blobs,
            "size_bytes": self.size_bytes,
            "sums": str(self.sums),
            "damaged": dict(self.damaged),
        }
        return json.dumps(value, indent=2).encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes, where: str) -> BackupDocument:
        """Return the document in JSON.

        Args:
            content: the JSON.
            where: the file, for messages.

        Raises:
            StorageDamaged: the content is not such a document, or one of a later version.
        """
        try:
            value = json.loads(content)
            if value["format"] != _FORMAT:
                raise StorageDamaged(
                    f"{where} has format {value['format']}, which this version does not know; "
                    "fix: use the version that made the backup, or a later one"
                )
            return cls._of(value)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DigestInvalid) as error:
            raise StorageDamaged(
                f"{where} is not the document of a backup; fix: to restore, use another backup; to back up, "
                "remove this file (what was copied stays)"
            ) from error

    @classmethod
    def _of(cls, value: Mapping[str, Any]) -> BackupDocument:
        return cls(
            int(value["serial"]),
            datetime.fromisoformat(value["created"]),
            str(value["source"]),
            str(value["program"]),
            str(value["revision"]),
            int(value["blobs"]),
            int(value["size_bytes"]),
            Digest.parse(value["sums"]),
            {str(digest): str(problem) for digest, problem in value["damaged"].items()},
        )
