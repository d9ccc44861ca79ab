"""Absent content of copied manifests that a later copy would bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mirror.oci import Descriptor, Digest
from mirror.oci.errors import NotFound, UpstreamFault
from mirror.oci.media_types import INDEXES, essence
from mirror.oci.platform_selection import ImagePlatform
from mirror.records.absent_content import AbsenceReason, AbsentContent, by_manifest
from mirror.transfer.graph.content_choice import ContentChoice, ForeignLayers
from mirror.transfer.graph.places import CopyDestination, CopySource


@dataclass(frozen=True, slots=True)
class ReturnedContent:
    """The absent content of a repository, compared with a source and a choice.

    Attributes:
        local: the repository.
        source: repository that the content comes from.
        choice: choice of the content to copy.
        absent: absent content by the manifest that names it.
    """

    local: CopyDestination
    source: CopySource
    choice: ContentChoice
    absent: Mapping[Digest, tuple[AbsentContent, ...]]
    _at_source: dict[Digest, bool] = field(default_factory=dict)

    @classmethod
    async def read(cls, local: CopyDestination, source: CopySource, choice: ContentChoice) -> ReturnedContent:
        """Read what a repository lacks."""
        found = () if local.absent is None else await local.absent.absent_content(local.repository)
        return cls(local, source, choice, by_manifest(found))

    async def absent_below(self, digest: Digest) -> list[AbsentContent]:
        """Return what a held manifest lacks, and what its members lack, at all levels of indexes."""
        if not self.absent:
            return []
        found = [*self.absent.get(digest, ())]
        for member in await _held_members(self.local, digest, {each.digest for each in found}):
            found += await self.absent_below(member.digest) if _is_index(member) else self.absent.get(member.digest, ())
        return found

    async def is_back(self, each: AbsentContent) -> bool:
        """Return True if a new copy would bring some absent content.

        A member that was gone costs the source one request. Everything else is known from the choice.
        """
        match each.reason:
            case AbsenceReason.PLATFORM:
                return not _is_left_out(each, self.choice)
            case AbsenceReason.GONE:
                return not _is_left_out(each, self.choice) and await self._is_at_source(each.digest)
            case AbsenceReason.FOREIGN:
                leave = self.choice.foreign_layers is ForeignLayers.LEAVE
                return not leave and each.detail != self.choice.foreign_setting

    async def _is_at_source(self, digest: Digest) -> bool:
        if digest not in self._at_source:
            try:
                await self.source.registry.resolve(self.source.repository, digest)
            except (NotFound, UpstreamFault):  # an upstream that fails is asked again by the next run
                self._at_source[digest] = False
            else:
                self._at_source[digest] = True
        return self._at_source[digest]


async def lacks_content(place: CopyDestination, digest: Digest, choice: ContentChoice) -> bool:
    """Return True if content below a held manifest is absent that the choice takes, at any level of indexes."""
    records = place.absent
    if records is None:
        return False
    absent = await records.absent_content(place.repository, manifest=digest)
    if not all(_is_left_out(each, choice) for each in absent):
        return True
    for member in await _held_members(place, digest, {each.digest for each in absent}):
        if _is_index(member):
            lacks = await lacks_content(place, member.digest, choice)
        else:  # an image lacks foreign layers only, which no platform leaves out
            lacks = bool(await records.absent_content(place.repository, manifest=member.digest))
        if lacks:
            return True
    return False


def _is_left_out(each: AbsentContent, choice: ContentChoice) -> bool:
    """Return True for a member whose platform the choice does not take. Members without a platform are taken."""
    if each.reason is AbsenceReason.FOREIGN or choice.platforms is None or not each.detail:
        return False
    return not choice.platforms.takes(ImagePlatform.parse(each.detail))


def _is_index(member: Descriptor) -> bool:
    return essence(member.media_type) in INDEXES


async def _held_members(place: CopyDestination, digest: Digest, absent: set[Digest]) -> list[Descriptor]:
    manifest = await place.registry.get_manifest(place.repository, digest)
    return [member for member in manifest.manifests if member.digest not in absent]
