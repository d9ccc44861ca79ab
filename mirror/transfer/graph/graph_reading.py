"""Reading of the manifests that a copy needs: the root, and the members of indexes below the root."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror.oci import Descriptor, Digest, Manifest
from mirror.oci.errors import ManifestUnknown, NotFound, UpstreamProtocolError
from mirror.oci.media_types import essence
from mirror.oci.platform_selection import is_attestation, member_platforms, platform_texts
from mirror.oci.printable_text import quoted
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.transfer.blob_locks import map_concurrently
from mirror.transfer.copy_plan import ContentGraph
from mirror.transfer.graph.content_choice import ContentChoice
from mirror.transfer.graph.places import CopyDestination, CopySource

# Indexes come from outside, so their depth, number and size are bounded.
_MOST_LEVELS = 8
_MOST_MANIFESTS = 10_000
#: Bytes of all index members read by one copy. In memory, they take several times as much.
MOST_MEMBER_BYTES = 64 * 1024 * 1024
_READ_AT_ONCE = 4


async def read_graph(
    origin: CopySource, destination: CopyDestination, root: Manifest, choice: ContentChoice
) -> ContentGraph:
    """Read the members below a manifest that the choice takes and that the destination does not hold.

    A member that the source lacks is recorded in the graph as absent, if the destination keeps such records.

    Raises:
        ManifestUnknown: the choice takes no member of the indexes.
        NotFound: the source lacks a member, and the destination keeps no records of absent content; or the source lacks
            all members that the choice takes.
        UpstreamProtocolError: the graph is too deep or too large, or a member differs from its descriptor.
    """
    reading = _GraphReading(origin, destination, root, choice)
    await reading.read()
    reading.require_content()
    return ContentGraph(root, reading.below, await reading.absent())


@dataclass
class _GraphReading:
    origin: CopySource
    destination: CopyDestination
    root: Manifest
    choice: ContentChoice
    below: dict[Digest, Manifest] = field(default_factory=dict)
    missing: dict[Digest, NotFound] = field(default_factory=dict)
    read_bytes: int = 0

    @property
    def indexes(self) -> list[Manifest]:
        return [manifest for manifest in (self.root, *self.below.values()) if manifest.manifests]

    async def read(self) -> None:
        level, name = [self.root], f"{self.origin.repository}@{self.root.digest}"
        for _ in range(_MOST_LEVELS):
            members = {member.digest: member for manifest in level for member in self._taken(manifest)}
            seen = {*self.below, *self.missing}
            wanted = [member for digest, member in members.items() if digest not in seen]
            if not wanted:
                return
            level = [manifest for manifest in await map_concurrently(_READ_AT_ONCE, self._read, wanted) if manifest]
            self.below |= {manifest.digest: manifest for manifest in level}
            if len(self.below) > _MOST_MANIFESTS:
                raise UpstreamProtocolError(f"{name} refers to more than {_MOST_MANIFESTS} manifests")
        raise UpstreamProtocolError(f"{name} nests indexes more than {_MOST_LEVELS} levels deep")

    def _taken(self, manifest: Manifest) -> list[Descriptor]:
        left_out = self.choice.left_out(manifest.manifests)
        return [member for member in manifest.manifests if member.digest not in left_out]

    async def _read(self, member: Descriptor) -> Manifest | None:
        """Read a member. Return None if the destination holds the member, or the source lacks the member."""
        if await self._is_held(member):
            return None
        try:
            manifest = await self.origin.registry.get_manifest(self.origin.repository, member.digest)
        except NotFound as error:
            if self.destination.absent is None:
                raise
            self.missing[member.digest] = error
            return None
        # Checked as the members arrive: an index may name very many.
        self.read_bytes += manifest.size_bytes
        if self.read_bytes > MOST_MEMBER_BYTES:
            raise UpstreamProtocolError(
                f"{self.origin.repository}@{self.root.digest} refers to manifests of more than {MOST_MEMBER_BYTES} "
                "bytes in total"
            )
        return _as_described(manifest, member)

    async def _is_held(self, member: Descriptor) -> bool:
        registry, repository, absent = self.destination.registry, self.destination.repository, self.destination.absent
        try:
            await registry.resolve(repository, member.digest)
        except NotFound:
            return False
        # A manifest that is held may lack content that the choice takes by now.
        return not (absent and await absent.absent_content(repository, manifest=member.digest))

    def require_content(self) -> None:
        """Check that the source has a member of the indexes that the choice takes."""
        taken = [member for manifest in self.indexes for member in self._taken(manifest) if not is_attestation(member)]
        absent_or_nested = {*self.missing, *(manifest.digest for manifest in self.indexes)}
        if any(member.digest not in absent_or_nested for member in taken):
            return
        if self.missing:
            raise next(iter(self.missing.values()))
        named = [member for manifest in self.indexes for member in manifest.manifests]
        if any(self.choice.left_out(manifest.manifests) for manifest in self.indexes):
            raise ManifestUnknown(
                f"{self.origin.repository}@{self.root.digest} has no member for {self.choice.platforms}: "
                f"it has {platform_texts(named)}; fix: add one of them to platforms"
            )

    async def absent(self) -> dict[Digest, tuple[AbsentContent, ...]]:
        """Return what each index lacks."""
        if self.destination.absent is None:
            return {}
        return {manifest.digest: await self._absent_of(manifest) for manifest in self.indexes}

    async def _absent_of(self, manifest: Manifest) -> tuple[AbsentContent, ...]:
        left_out = self.choice.left_out(manifest.manifests)
        absent = [
            AbsentContent(manifest.digest, digest, AbsenceReason.PLATFORM, str(platform))
            for digest, platform in left_out.items()
        ]
        for digest, platform in dict(member_platforms(manifest.manifests)).items() if self.missing else ():
            if digest in self.missing and digest not in left_out:
                absent.append(await self._missing_member(manifest.digest, digest, str(platform or "")))
        return tuple(absent)

    async def _missing_member(self, manifest: Digest, digest: Digest, platform: str) -> AbsentContent:
        # The source may be a repository of ours, which knows why it lacks the member.
        if self.origin.absent is not None:
            for known in await self.origin.absent.absent_content(self.origin.repository, digest=digest):
                return AbsentContent(manifest, digest, known.reason, known.detail)
        return AbsentContent(manifest, digest, AbsenceReason.GONE, platform)


def _as_described(manifest: Manifest, descriptor: Descriptor) -> Manifest:
    if (manifest.media_type, manifest.size_bytes) != (essence(descriptor.media_type), descriptor.size_bytes):
        raise UpstreamProtocolError(
            f"an index describes {manifest.digest} as {quoted(descriptor.media_type)} of {descriptor.size_bytes} "
            f"bytes, but it is {manifest.media_type} of {manifest.size_bytes} bytes",
            digest=manifest.digest,
        )
    return manifest
