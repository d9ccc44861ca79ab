"""What an upload session is about, as written beside its bytes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError, StorageDamaged
from mirror.oci.names import Repository


@dataclass(frozen=True, slots=True)
class Session:
    """An upload session.

    Attributes:
        repository: where the blob goes.
        begun: when, in UTC.
        expected: the digest it will have, where that was said.
    """

    repository: Repository
    begun: datetime
    expected: Digest | None = None

    def build(self) -> bytes:
        """The bytes that :meth:`parse` reads."""
        return json.dumps(
            {
                "repository": self.repository.name,
                "begun": self.begun.astimezone(UTC).isoformat(),
                "expected": None if self.expected is None else str(self.expected),
            }
        ).encode()

    @classmethod
    def parse(cls, content: bytes) -> Session:
        """Read what :meth:`build` wrote.

        Raises:
            StorageDamaged: it is something else.
        """
        try:
            value = json.loads(content)
            expected = value["expected"]
            return cls(
                Repository.parse(value["repository"]),
                datetime.fromisoformat(value["begun"]).astimezone(UTC),
                None if expected is None else Digest.parse(expected),
            )
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError, MirrorError) as error:
            raise StorageDamaged(f"an upload's session file cannot be read: {error}") from error
