"""What an upload session is about, as written beside its bytes. Pure."""

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
        repository: where the blob goes.
        begun: when, in UTC.
    """

    repository: Repository
    begun: datetime

    def build(self) -> bytes:
        """The bytes that :meth:`parse` reads."""
        begun = self.begun.astimezone(UTC).isoformat()
        return json.dumps({"repository": self.repository.name, "begun": begun}).encode()

    @classmethod
    def parse(cls, content: bytes) -> UploadSessionFile:
        """Read what :meth:`build` wrote; keys of earlier versions are passed over.

        Raises:
            StorageDamaged: it is something else.
        """
        try:
            value = json.loads(content)
            begun = datetime.fromisoformat(value["begun"]).astimezone(UTC)
            return cls(Repository.parse(value["repository"]), begun)
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError, MirrorError) as error:
            raise StorageDamaged(f"an upload's session file cannot be read: {error}") from error
