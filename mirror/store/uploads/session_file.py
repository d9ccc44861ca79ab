"""The session file of an upload, written beside its bytes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from mirror.oci import Repository
from mirror.oci.errors import MirrorError, StorageDamaged


@dataclass(frozen=True, slots=True)
class UploadSessionFile:
    """An upload session.

    Attributes:
        repository: the repository that gets the blob.
        begun: the time that the session began, in UTC.
    """

    repository: Repository
    begun: datetime

    def build(self) -> bytes:
        """Return the content of the file, which :meth:`parse` reads."""
        begun = self.begun.astimezone(UTC).isoformat()
        return json.dumps({"repository": self.repository.name, "begun": begun}).encode()

    @classmethod
    def parse(cls, content: bytes) -> UploadSessionFile:
        """Read the content of a session file. Keys of earlier versions are ignored.

        Raises:
            StorageDamaged: the content is not that of a session file.
        """
        try:
            value = json.loads(content)
            begun = datetime.fromisoformat(value["begun"]).astimezone(UTC)
            return cls(Repository.parse(value["repository"]), begun)
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError, MirrorError) as error:
            raise StorageDamaged("the file of an upload session is damaged") from error
