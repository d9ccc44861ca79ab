"""Platforms of an index: those whose members a repository holds, and those that are absent with their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mirror.oci import Manifest
from mirror.oci.platform_selection import ImagePlatform
from mirror.records.absent_content import AbsentContent


@dataclass(frozen=True, slots=True)
class HeldPlatforms:
    """Platforms and absent content of one manifest.

    Attributes:
        here: platforms of the held members of an index, each once, in their order. Empty for other manifests.
        absent: members of an index and foreign layers that the repository lacks, in the order of the manifest.
    """

    here: tuple[str, ...] = ()
    absent: tuple[AbsentContent, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, absent: Sequence[AbsentContent] = ()) -> HeldPlatforms:
        """Return the platforms of a manifest.

        Args:
            manifest: the manifest.
            absent: everything that the repository lacks of the manifest.
        """
        missing = {each.digest for each in absent}
        held = (ImagePlatform.of(member) for member in manifest.manifests if member.digest not in missing)
        here = dict.fromkeys(str(platform) for platform in held if platform)
        places = {member.digest: place for place, member in enumerate(manifest.manifests)}
        return cls(tuple(here), tuple(sorted(absent, key=lambda each: places.get(each.digest, len(places)))))

    def to_json(self) -> dict[str, Any]:
        """Return the platforms as plain values. Empty for a manifest that has none and lacks nothing."""
        if not self.here and not self.absent:
            return {}
        return {"platforms": list(self.here), "absent": [each.to_json() for each in self.absent]}
