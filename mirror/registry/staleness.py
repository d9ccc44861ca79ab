"""Manifests not confirmed at their upstream: manifest values that also carry their age and a reason."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from mirror.oci import Descriptor, Manifest


@dataclass(frozen=True, slots=True)
class Staleness:
    """The reason why a manifest may be out of date.

    Attributes:
        age_seconds: whole seconds since the manifest was last confirmed.
        reason: one sentence saying why the manifest could not be confirmed.
    """

    age_seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class StaleManifest(Manifest):
    """A manifest whose tag may point to another manifest at the upstream by now."""

    staleness: Staleness

    @classmethod
    def of(cls, manifest: Manifest, staleness: Staleness) -> Self:
        """Return a copy of the manifest with its staleness."""
        return cls(**{field.name: getattr(manifest, field.name) for field in fields(Manifest)}, staleness=staleness)

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's descriptor, with its staleness."""
        return StaleDescriptor(self.media_type, self.digest, self.size_bytes, staleness=self.staleness)


@dataclass(frozen=True, slots=True)
class StaleDescriptor(Descriptor):
    """The descriptor of a manifest that may be out of date."""

    # A field after those of Descriptor needs a default, because some of them have defaults.
    staleness: Staleness | None = None


def staleness_of(found: Manifest | Descriptor) -> Staleness | None:
    """Return the reason why a manifest from a registry may be out of date; None if the manifest is confirmed."""
    return found.staleness if isinstance(found, StaleManifest | StaleDescriptor) else None
