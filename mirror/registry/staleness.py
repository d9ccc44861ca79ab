"""Manifests that could not be confirmed at their upstream: the same values, with a word about their age."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from mirror.oci import Descriptor, Manifest


@dataclass(frozen=True, slots=True)
class Staleness:
    """Why something may be out of date.

    Attributes:
        age_seconds: since it was last confirmed, whole seconds.
        reason: why it could not be confirmed, in one sentence.
    """

    age_seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class StaleManifest(Manifest):
    """A manifest that may no longer be what its tag points to at the upstream."""

    staleness: Staleness

    @classmethod
    def of(cls, manifest: Manifest, staleness: Staleness) -> Self:
        """The manifest, with a word about its age."""
        return cls(**{field.name: getattr(manifest, field.name) for field in fields(Manifest)}, staleness=staleness)

    @property
    def descriptor(self) -> Descriptor:
        """As of any manifest; it tells of the staleness too."""
        return StaleDescriptor(self.media_type, self.digest, self.size_bytes, staleness=self.staleness)


@dataclass(frozen=True, slots=True)
class StaleDescriptor(Descriptor):
    """Type, digest and size of such a manifest."""

    staleness: Staleness | None = None


def staleness_of(found: Manifest | Descriptor) -> Staleness | None:
    """Why a manifest that a registry gave may be out of date; None where nothing says so."""
    return found.staleness if isinstance(found, StaleManifest | StaleDescriptor) else None
