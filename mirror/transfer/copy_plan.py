"""Plan of a copy, made before anything moves. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mirror.oci import Descriptor, Digest, Manifest
from mirror.oci.errors import UpstreamProtocolError
from mirror.records.absent_content import AbsentContent


@dataclass(frozen=True, slots=True)
class ContentGraph:
    """A manifest and the manifests read below it.

    Attributes:
        root: requested manifest.
        below: index members which may have to be copied. The destination holds all other members, with their content,
            apart from ``absent``.
        absent: members that stay absent, by the index that names them.
    """

    root: Manifest
    below: Mapping[Digest, Manifest]
    absent: Mapping[Digest, tuple[AbsentContent, ...]] = field(default_factory=dict)

    def manifests(self) -> tuple[Manifest, ...]:
        """Return each manifest once, children before their parents, the root last."""
        ordered: dict[Digest, Manifest] = {}

        # Recursion is safe: the copy engine reads at most 8 levels of indexes.
        def visit(manifest: Manifest) -> None:
            for member in manifest.manifests:
                if member.digest in self.below and member.digest not in ordered:
                    visit(self.below[member.digest])
            ordered.setdefault(manifest.digest, manifest)

        visit(self.root)
        return tuple(ordered.values())

    def blobs(self) -> tuple[Descriptor, ...]:
        """Return the blobs needed by the manifests, each digest once.

        Raises:
            UpstreamProtocolError: two manifests state different sizes for one digest.
        """
        return _each_once(blob for manifest in self.manifests() for blob in manifest.blobs)

    def foreign_layers(self) -> tuple[Descriptor, ...]:
        """Return the layers that may be stored elsewhere, each digest once.

        Raises:
            UpstreamProtocolError: two manifests state different sizes for one digest.
        """
        needed = {blob.digest for blob in self.blobs()}
        layers = _each_once(layer for manifest in self.manifests() for layer in manifest.foreign_layers)
        return tuple(layer for layer in layers if layer.digest not in needed)


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """Content to copy.

    Attributes:
        blobs: blobs to copy, largest first, so the copy does not end with waiting for one large blob.
        manifests: manifests to store, children before parents, the root last.
        absent: members that stay absent, by the index that names them. Empty for an index whose members are complete.
    """

    blobs: tuple[Descriptor, ...]
    manifests: tuple[Manifest, ...]
    absent: Mapping[Digest, tuple[AbsentContent, ...]] = field(default_factory=dict)

    @property
    def root(self) -> Manifest:
        """Requested manifest."""
        return self.manifests[-1]

    @property
    def size_bytes(self) -> int:
        """Total size in bytes of the blobs to copy."""
        return sum(blob.size_bytes for blob in self.blobs)


def plan(graph: ContentGraph, held: Collection[Digest], foreign: Collection[Descriptor] = ()) -> CopyPlan:
    """Plan a copy.

    Args:
        graph: content to copy.
        held: digests of the blobs held by the destination repository.
        foreign: foreign layers to copy.
    """
    missing = [*(blob for blob in graph.blobs() if blob.digest not in held), *foreign]
    return CopyPlan(
        # The digest breaks ties, so the order does not depend on the order in the manifests.
        blobs=tuple(sorted(missing, key=lambda blob: (-blob.size_bytes, str(blob.digest)))),
        manifests=graph.manifests(),
        absent=graph.absent,
    )


def _each_once(blobs: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    found: dict[Digest, Descriptor] = {}
    for blob in blobs:
        known = found.setdefault(blob.digest, blob)
        if known.size_bytes != blob.size_bytes:
            raise UpstreamProtocolError(
                f"manifests state two sizes for {blob.digest}: {known.size_bytes} and {blob.size_bytes} bytes",
                digest=blob.digest,
            )
    return tuple(found.values())
