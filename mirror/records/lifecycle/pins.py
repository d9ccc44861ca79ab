"""Pins: tags and manifests that an operator keeps from being removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mirror.oci import Digest, Repository, Tag
from mirror.oci.timestamps import machine_time


@dataclass(frozen=True, slots=True)
class Pin:
    """A pin of a tag, or of a manifest by its digest.

    Attributes:
        repository: the repository.
        target: the pinned tag or digest. A pinned tag stays, and may still be moved by a push or by its upstream.
        by: name of the person who set the pin.
        at: time at which the pin was set, in UTC.
        note: reason for the pin; may be empty.
    """

    repository: Repository
    target: Tag | Digest
    by: str
    at: datetime
    note: str = ""

    @property
    def name(self) -> str:
        """``NAME:TAG`` or ``NAME@DIGEST``."""
        return f"{self.repository}{'@' if isinstance(self.target, Digest) else ':'}{self.target}"

    def to_json(self) -> dict[str, Any]:
        """Return the pin as plain values."""
        return {
            "name": self.repository.name,
            "tag": str(self.target) if isinstance(self.target, Tag) else None,
            "digest": str(self.target) if isinstance(self.target, Digest) else None,
            "by": self.by,
            "at": machine_time(self.at),
            "note": self.note,
        }


class Pins(Protocol):
    """Port to the pins of a store. All methods raise CatalogFault."""

    async def pin(self, pin: Pin) -> Pin | None:
        """Set a pin. Return the earlier pin of the same tag or digest, which is replaced; None if there was none.

        Raises:
            ManifestUnknown: the repository does not hold the tag or the manifest.
        """
        ...

    async def unpin(self, repository: Repository, target: Tag | Digest) -> Pin:
        """Remove a pin and return it.

        Raises:
            ManifestUnknown: the tag or digest is not pinned.
        """
        ...

    async def pins(self, repository: Repository | None = None) -> Sequence[Pin]:
        """Return the pins of a repository, or all pins, in the order of their names."""
        ...
