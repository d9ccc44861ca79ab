"""Records of derived copies: the original, the maker and the changes of each copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mirror.oci import Digest


@dataclass(frozen=True, slots=True)
class Derivation:
    """Origin of a manifest that is a derived copy.

    Attributes:
        source: repository of the original, as ``[HOST/]NAME`` or ``UPSTREAM/NAME``.
        original: digest of the original.
        made_by: person or rule that made the copy: ``rule contiv``, ``user root``.
        made_at: time at which the copy was made, in UTC.
        changes: requested changes as plain values.
        changed: differences from the original, one line for each.
    """

    source: str
    original: Digest
    made_by: str
    made_at: datetime
    changes: Mapping[str, Any]
    changed: tuple[str, ...]


class Derivations(Protocol):
    """Port that stores derivations by the digest of the copy, under whatever names the copy has."""

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        """Record the derivation of a manifest in the store. An earlier record of the same copy is kept."""
        ...

    async def derivation(self, digest: Digest) -> Derivation | None:
        """Return the derivation of a manifest; None if the manifest is no derived copy, or no record exists."""
        ...
