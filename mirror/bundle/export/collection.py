"""Collection of the content of a bundle: everything below the names, with referrers. Nothing but manifests is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirror.bundle.delta.delta_base import DeltaBase
from mirror.bundle.export.assumed_content import AssumedContent, NoAbsentContent
from mirror.bundle.export.collected_content import CollectedContent
from mirror.bundle.export.export_request import ExportSource
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.format.statement import NameOrigin
from mirror.oci import Descriptor, Digest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, MirrorError, NotFound
from mirror.oci.media_types import INDEXES
from mirror.records.absent_content import AbsentContent
from mirror.registry.listing import all_tags
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import ReadLister
from mirror.transfer.blob_locks import BlobLocks, map_concurrently
from mirror.transfer.graph.content_choice import ContentChoice
from mirror.transfer.graph.foreign_layers import absent_layers, plan_foreign
from mirror.transfer.graph.graph_reading import read_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.referrer_copies import concerns_one_content, find_referrers
from mirror.transfer.tags.tag_selection import companions
from mirror.wire.referrers_fallback import is_digest_tag

_NAMES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Collected:
    """Content of a bundle.

    Attributes:
        names: names in the bundle, in order.
        content: place of the content. It may have more than the bundle holds.
        members: digests of the manifests and blobs that the bundle holds.
        origins: sources of the names.
        absent: content that manifests of the bundle lack, with the repository, as plain values.
        left_out: sentences about names that are not in the bundle.
        warnings: sentences about content beside the names that is not in the bundle.
    """

    names: tuple[NamedManifest, ...]
    content: CollectedContent
    members: frozenset[Digest]
    origins: Mapping[str, NameOrigin]
    absent: tuple[Mapping[str, str], ...]
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]


async def collect(sources: Iterable[ExportSource], choice: ContentChoice, base: DeltaBase | None = None) -> Collected:
    """Find the content of a bundle.

    Args:
        sources: the content by names.
        choice: choice of the members of indexes.
        base: content that the receiver has; None for a full bundle.

    Raises:
        ConfigurationFault: two sources give different content to one name.
        MirrorError: a required source lacks its content or withholds it; or a registry fails.
    """
    return await _Collecting(choice, base).collect(list(sources))


@dataclass
class _Collecting:
    choice: ContentChoice
    base: DeltaBase | None
    content: CollectedContent = field(default_factory=CollectedContent)
    names: dict[str, NamedManifest] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    #: Manifests whose content the receiver lacks in part. They come again, so that a reader finds the rest below them.
    parents: set[Digest] = field(default_factory=set)
    origins: dict[str, NameOrigin] = field(default_factory=dict)
    absent: dict[tuple[Repository, Digest, Digest], Mapping[str, str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    followed: set[tuple[Repository, Digest]] = field(default_factory=set)
    listed: dict[tuple[int, Repository], tuple[Tag, ...]] = field(default_factory=dict)
    locks: BlobLocks = field(default_factory=BlobLocks)

    async def collect(self, sources: Sequence[ExportSource]) -> Collected:
        await map_concurrently(_NAMES_AT_ONCE, self._add_source, sources)
        held = self.base.digests if self.base is not None else frozenset()
        kept = {name: named for name, named in self.names.items() if name not in self.unchanged}
        return Collected(
            tuple(named for _, named in sorted(kept.items())),
            self.content,
            frozenset(digest for digest in self.content.places if digest not in held or digest in self.parents),
            {name: origin for name, origin in self.origins.items() if name in kept},
            tuple(value for _, value in sorted(self.absent.items(), key=lambda item: [*map(str, item[0])])),
            tuple(sorted(self.left_out)),
            tuple(sorted(set(self.warnings))),
        )

    async def _add_source(self, source: ExportSource) -> None:
        try:
            subjects = await self._add(source, source.target, source.tag)
        except MirrorError as error:
            if source.required or not concerns_one_content(error):
                raise
            self.left_out.append(f"{source} is left out: {error}")
            return
        tags = await self._tags(source)
        for follower in companions(tags, subjects):
            subjects |= await self._add_beside(source, follower, follower)
        for subject in subjects:
            await self._add_referrers(source, subject, tags)

    async def _add_referrers(self, source: ExportSource, subject: Digest, tags: Sequence[Tag]) -> None:
        async with self.locks.hold(subject):
            if (source.name, subject) in self.followed:
                return
            nothing = CopyDestination(MemoryRegistry(), source.name)
            found = await find_referrers(source.registry, source.repository, subject, nothing, listed=tags)
            self.warnings += found.warnings
            for referrer in found.missing:
                await self._add_beside(source, referrer.digest, None, referrer)
            self.followed.add((source.name, subject))

    async def _add_beside(
        self, source: ExportSource, target: Tag | Digest, tag: Tag | None, described: Descriptor | None = None
    ) -> set[Digest]:
        """Add content beside a name, such as a signature. Warn if it cannot be read."""
        try:
            return await self._add(source, target, tag, described)
        except MirrorError as error:
            if not concerns_one_content(error):
                raise
            self.warnings.append(f"{source.name}{':' if tag else '@'}{target} is left out: {error}")
            return set()

    async def _add(
        self, source: ExportSource, target: Tag | Digest, tag: Tag | None, described: Descriptor | None = None
    ) -> set[Digest]:
        """Add a name with everything below it. Return the digests of the manifests."""
        registry, repository = source.registry, source.repository
        if self.base is not None:
            # Most names of a delta are unchanged, and an upstream may limit the number of manifests that are read.
            described = described or await registry.resolve(repository, target)
            named = _named(source, tag, described)
            if described.media_type not in INDEXES and self.base.has_name(named, [described.digest]):
                self._note_name(source, named, [described.digest])
                return {described.digest}
        root = await registry.get_manifest(repository, described.digest if described is not None else target)
        origin = CopySource(registry, repository, source.absent)
        receiver = CopyDestination(AssumedContent(self.base), source.name, absent=NoAbsentContent())
        graph = await read_graph(origin, receiver, root, self.choice)
        foreign = await plan_foreign(origin, graph.foreign_layers(), self.choice)
        for manifest in graph.manifests():
            self.content.add_manifest(registry, repository, manifest)
        self.content.add_blobs(registry, repository, foreign.blobs)
        taken = {layer.digest for layer in foreign.blobs}
        lacked = {layer.digest: "" for layer in graph.foreign_layers() if layer.digest not in taken}
        absent = [graph.absent.values(), absent_layers(graph.manifests(), lacked).values()]
        digests = {manifest.digest for manifest in graph.manifests()}
        below = {*digests, *taken, *(blob.digest for blob in graph.blobs())}
        if self.base is not None and not self.base.digests >= below:
            self.parents.add(root.digest)
        if not self._note_name(source, _named(source, tag, root.descriptor), below):
            self._note_absent(source.name, (each for group in absent for contents in group for each in contents))
        return digests

    def _note_name(self, source: ExportSource, named: NamedManifest, content: Iterable[Digest]) -> bool:
        """Note a name whose content can be exported. Return True if the receiver has it with all its content."""
        known = self.names.setdefault(str(named), named)
        if known != named:
            raise ConfigurationFault(
                f"{named} has two contents, {known.descriptor.digest} and {named.descriptor.digest}; "
                "fix: export one of them"
            )
        if source.origin is not None:
            self.origins.setdefault(str(named), source.origin)
        is_unchanged = self.base is not None and self.base.has_name(named, content)
        (self.unchanged.add if is_unchanged else self.unchanged.discard)(str(named))
        return is_unchanged

    def _note_absent(self, name: Repository, contents: Iterable[AbsentContent]) -> None:
        for each in contents:
            value = {"repository": name.name, **each.to_json()}
            self.absent[name, each.manifest, each.digest] = value

    async def _tags(self, source: ExportSource) -> tuple[Tag, ...]:
        """Return the tags of a repository that are made of digests, as those of signatures. List them once."""
        key = (id(source.registry), source.repository)
        if key not in self.listed:
            self.listed[key] = await self._listed(source.registry, source.repository)
        return self.listed[key]

    async def _listed(self, registry: ReadLister, repository: Repository) -> tuple[Tag, ...]:
        try:
            return tuple([tag async for tag in all_tags(registry, repository) if is_digest_tag(tag)])
        except NotFound:
            return ()
        except MirrorError as error:
            if not concerns_one_content(error):
                raise
            self.warnings.append(f"the tags of {repository}, among which signatures may be, cannot be listed: {error}")
            return ()


def _named(source: ExportSource, tag: Tag | None, described: Descriptor) -> NamedManifest:
    # Descriptors of registries may have annotations.
    descriptor = Descriptor(described.media_type, described.digest, described.size_bytes)
    return NamedManifest(source.name, tag or described.digest, descriptor)
