"""A repository in a bundle: what is reachable from its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.format.bundle_layout import BundleLayout
from mirror.bundle.format.byte_source import ByteSource
from mirror.bundle.member_content import MemberContent
from mirror.oci import Descriptor, Digest, Manifest
from mirror.oci.errors import ClientFault
from mirror.oci.incoming_manifest import parse_incoming
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.runtime.concurrency.cpu_offload import CpuOffload

_PARSING: Final = CpuOffload()
#: Plugins that are kept for one blob.
_MOST_NAMING: Final = 256


@dataclass(frozen=True, slots=True)
class BundledReferrer:
    """A manifest with a subject. Its annotations may be large, so they are read when they are asked for.

    Attributes:
        manifest: the manifest.
        artifact_type: type under which the manifest is listed.
    """

    manifest: Descriptor
    artifact_type: str | None


@dataclass(frozen=True, slots=True)
class BundledRepository:
    """Content of one repository in a bundle.

    Attributes:
        manifests: the manifests that the bundle holds of the repository.
        blobs: the blobs that the bundle holds of the repository.
        referrers: manifests by the digest of their subject, each list in the order of the digests.
        plugins: plugins by the blobs that they name. Everything that engines might take for a plugin is one.
        named_otherwise: blobs that other manifests than those of plugins name.
    """

    manifests: Mapping[Digest, Descriptor] = field(default_factory=dict)
    blobs: frozenset[Digest] = frozenset()
    referrers: Mapping[Digest, tuple[BundledReferrer, ...]] = field(default_factory=dict)
    plugins: Mapping[Digest, Sequence[Digest]] = field(default_factory=dict)
    named_otherwise: frozenset[Digest] = frozenset()

    @property
    def weight(self) -> int:
        """Number of entries, for a cache."""
        lists = (*self.referrers.values(), *self.plugins.values())
        return 1 + len(self.manifests) + len(self.blobs) + len(self.named_otherwise) + sum(map(len, lists))


async def read_repository(
    layout: BundleLayout, source: ByteSource, names: Iterable[NamedManifest]
) -> BundledRepository:
    """Return the content that is reachable from the names of one repository. Memory is bounded by the statement's.

    A manifest that cannot be parsed leads nowhere. Whoever asks for it gets the error.

    Raises:
        BundleIncomplete: a part with a manifest is missing.
        StorageFault: the file cannot be read.
    """
    held: dict[Digest, Descriptor] = {}
    waiting: list[Descriptor] = []
    blobs: set[Digest] = set()
    referrers: dict[Digest, list[BundledReferrer]] = {}
    plugins: dict[Digest, list[Digest]] = {}
    otherwise: set[Digest] = set()

    def reach(found: Iterable[Descriptor]) -> None:
        # Only what the bundle holds, and each once: a manifest of 4 MiB may name another one 40 000 times.
        for descriptor in found:
            if descriptor.digest not in held and (known := held_manifest(layout, descriptor)) is not None:
                held[descriptor.digest] = known
                waiting.append(known)

    reach(each.descriptor for each in names)
    while waiting:
        descriptor = waiting.pop()
        try:
            manifest = await read_manifest(layout, source, descriptor)
        except (ClientFault, BundleInvalid):
            continue
        reach(manifest.manifests)
        wanted = (*manifest.blobs, *manifest.foreign_layers)
        named = {blob.digest for blob in wanted if layout.blob(blob.digest) is not None}
        blobs.update(named)
        if manifest.may_be_plugin:
            for digest in named:
                if len(naming := plugins.setdefault(digest, [])) < _MOST_NAMING:
                    naming.append(manifest.digest)
        else:
            otherwise.update(named)
        if manifest.subject is not None:
            referrer = BundledReferrer(descriptor, manifest.as_referrer().artifact_type)
            referrers.setdefault(manifest.subject.digest, []).append(referrer)
    ordered = {
        subject: tuple(sorted(found, key=lambda each: str(each.manifest.digest)))
        for subject, found in referrers.items()
    }
    return BundledRepository(held, frozenset(blobs), ordered, plugins, frozenset(otherwise))


def held_manifest(layout: BundleLayout, described: Descriptor) -> Descriptor | None:
    """Return media type, digest and true size of a manifest that somebody describes; None if the bundle lacks it."""
    placed = layout.blob(described.digest)
    return None if placed is None else Descriptor(described.media_type, described.digest, placed.member.size_bytes)


async def read_manifest(layout: BundleLayout, source: ByteSource, descriptor: Descriptor) -> Manifest:
    """Return a manifest that the bundle holds.

    Raises:
        BundleInvalid: the bytes differ from the statement.
        BundleIncomplete: the part with the manifest is missing.
        ContentTooLarge, ManifestInvalid: the content is not a manifest.
        StorageFault: the file cannot be read.
    """
    placed = layout.blob(descriptor.digest)
    if placed is None or placed.member.size_bytes > MAX_MANIFEST_BYTES:
        raise BundleInvalid(f"{source.name}: {descriptor.digest} is too large for a manifest", digest=descriptor.digest)
    content = b"".join([chunk async for chunk in MemberContent(source, placed).verified()])
    return await _PARSING.do(
        source.name, len(content), parse_incoming, content, descriptor.media_type, descriptor.digest
    )
