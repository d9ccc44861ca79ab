"""The plan of a copy, made before anything moves. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mirror.oci import Descriptor, Digest, Manifest
from mirror.oci.errors import UpstreamProtocolError


@dataclass(frozen=True, slots=True)
class ContentGraph:
    """A manifest with those below it that were read.

    Attributes:
        root: the manifest that was asked for.
        below: members of indexes that may have to be copied; the destination holds every other member, with all that
            it needs.
    """

    root: Manifest
    below: Mapping[Digest, Manifest]

    def manifests(self) -> tuple[Manifest, ...]:
        """Every manifest once, children before their parents, the root last."""
        ordered: dict[Digest, Manifest] = {}

        def visit(manifest: Manifest) -> None:
            for member in manifest.manifests:
                if member.digest in self.below and member.digest not in ordered:
                    visit(self.below[member.digest])
            ordered.setdefault(manifest.digest, manifest)

        visit(self.root)
        return tuple(ordered.values())

    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob that the manifests need, each digest once.

        Raises:
            UpstreamProtocolError: two manifests give one digest different sizes.
        """
        found: dict[Digest, Descriptor] = {}
        for manifest in self.manifests():
            for blob in manifest.blobs:
                known = found.setdefault(blob.digest, blob)
                if known.size_bytes != blob.size_bytes:
                    raise UpstreamProtocolError(
                        f"manifests give {blob.digest} two sizes: {known.size_bytes} and {blob.size_bytes} bytes",
                        digest=blob.digest,
                    )
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """The content that must be copied.

    Attributes:
        blobs: those to copy, the biggest first, so that the end is not spent waiting for one of them.
        manifests: those to store, children before parents, the root last.
    """

    blobs: tuple[Descriptor, ...]
    manifests: tuple[Manifest, ...]

    @property
    def root(self) -> Manifest:
        """The manifest that was asked for."""
        return self.manifests[-1]

    @property
    def size_bytes(self) -> int:
        """Bytes of blobs that must move."""
        return sum(blob.size_bytes for blob in self.blobs)


def plan(graph: ContentGraph, held: Collection[Digest]) -> CopyPlan:
    """Plan a copy.

    Args:
        graph: the content that is to be copied.
        held: digests of the blobs that the destination's repository holds.
    """
    missing = [blob for blob in graph.blobs() if blob.digest not in held]
    return CopyPlan(
        blobs=tuple(sorted(missing, key=lambda blob: (-blob.size_bytes, str(blob.digest)))),
        manifests=graph.manifests(),
    )
