"""Records of copies with changes: the original, the maker and the changes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mirror.oci import Digest


@dataclass(frozen=True, slots=True)
class Derivation:
    """The derivation of a manifest that is a copy with changes.

    Attributes:
        source: where the original was, as ``[HOST/]NAME`` or ``UPSTREAM/NAME``.
        original: its digest there.
        made_by: who asked for the copy: ``rule contiv``, ``user root``.
        made_at: when.
        changes: what was asked for, as plain values.
        changed: what is different from the original, one line each.
    """

    source: str
    original: Digest
    made_by: str
    made_at: datetime
    changes: Mapping[str, Any]
    changed: tuple[str, ...]


class Derivations(Protocol):
    """Remembers derivations by the digest of what was made, whatever names it has."""

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        """Note how a manifest that is held came about; where the same was noted before, that stays."""
        ...

    async def derivation(self, digest: Digest) -> Derivation | None:
        """The derivation of a manifest; None where it is no such copy, or nobody knows."""
        ...
