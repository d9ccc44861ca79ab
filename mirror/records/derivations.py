"""Records of derived copies: the original, the maker and the changes of each copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mirror.oci import Digest
from mirror.oci.timestamps import machine_time


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

    def to_json(self) -> dict[str, Any]:
        """Return the derivation as plain values."""
        return {
            "source": self.source,
            "original": str(self.original),
            "made_by": self.made_by,
            "made_at": machine_time(self.made_at),
            "changes": dict(self.changes),
            "changed": list(self.changed),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Derivation:
        """Return the derivation in plain values of :meth:`to_json`.

        Raises:
            ValueError: a value is missing, or has another type.
            DigestInvalid: the digest is malformed.
        """
        match value:
            case {
                "source": str(source),
                "original": str(original),
                "made_by": str(made_by),
                "made_at": str(made_at),
                "changes": dict(changes),
                "changed": list(changed),
            }:
                moment = datetime.fromisoformat(made_at)
                if moment.tzinfo is not None:
                    return cls(source, Digest.parse(original), made_by, moment, changes, tuple(map(str, changed)))
        raise ValueError("a derivation lacks a value, or its time has no zone")


class Derivations(Protocol):
    """Port that stores derivations by the digest of the copy, under whatever names the copy has."""

    async def record_derivation(self, digest: Digest, derivation: Derivation) -> None:
        """Record the derivation of a manifest in the store. An earlier record of the same copy is kept."""
        ...

    async def derivation(self, digest: Digest) -> Derivation | None:
        """Return the derivation of a manifest; None if the manifest is no derived copy, or no record exists."""
        ...
