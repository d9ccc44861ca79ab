"""Content that the names of a bundle need, and content that is neither in the bundle nor held by the receiver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.importing.import_source import ImportSource
from mirror.oci import Descriptor, Digest, Repository
from mirror.oci.byte_sizes import shown_size
from mirror.oci.errors import NotFound
from mirror.records.absent_content import AbsentContent

_MOST_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class MissingContent:
    """Content that is neither in the bundle nor held by the receiver.

    Attributes:
        descriptor: digest and size of the content.
        needed_by: a name in the bundle that needs the content.
    """

    descriptor: Descriptor
    needed_by: NamedManifest

    def __str__(self) -> str:
        return f"{self.descriptor.digest} ({shown_size(self.descriptor.size_bytes)}), needed by {self.needed_by}"


@dataclass(frozen=True, slots=True)
class NeededContent:
    """Content that some names of a bundle need.

    Attributes:
        blobs: blobs in the bundle that the receiver does not hold, in the order of the tar.
        by_name: digests of those blobs, by the name that needs them. See :meth:`of`.
        missing: content that is nowhere.
        head_bytes: size of the beginning of the bundle with documents, manifests and configs.
    """

    blobs: tuple[Descriptor, ...]
    by_name: Mapping[str, frozenset[Digest]]
    missing: tuple[MissingContent, ...] = ()
    head_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes to read from the bundle."""
        return sum(blob.size_bytes for blob in self.blobs)

    def of(self, named: NamedManifest) -> frozenset[Digest]:
        """Return the digests of the blobs that a name needs."""
        return self.by_name.get(str(named), frozenset())

    def require_complete(self, source: str, *, is_delta: bool) -> None:
        """Check that nothing is missing.

        Raises:
            BundleIncomplete: something is missing. The message names it, and the detail lists all digests.
        """
        if not self.missing:
            return
        shown = [str(each) for each in self.missing[:_MOST_SHOWN]]
        more = len(self.missing) - len(shown)
        if more:
            shown.append(f"and {more} more")
        fix = "make the bundle anew"
        if is_delta:
            fix = "import the bundles before this one, or make one against a new receipt ('bundle receipt -o F')"
        raise BundleIncomplete(
            f"{source} needs content that is neither in the bundle nor here: {'; '.join(shown)}; "
            f"nothing was changed; fix: {fix}",
            missing=[str(each.descriptor.digest) for each in self.missing],
        )


async def find_needed(
    source: ImportSource, names: Iterable[NamedManifest], absent: Iterable[AbsentContent]
) -> NeededContent:
    """Return the content that some names need.

    Args:
        source: the bundle, and the content that the receiver holds.
        names: the names to import.
        absent: content that the sender lacked for a known reason.

    Raises:
        BundleInvalid: a manifest differs from the statement, or states another size than the statement.
        ManifestInvalid: a manifest cannot be parsed.
        BundleIncomplete: the part with a manifest is missing.
    """
    lacking = {(each.manifest, each.digest) for each in absent}
    wanted: dict[Digest, tuple[Descriptor, NamedManifest]] = {}
    of_names: dict[str, set[Digest]] = {}
    missing: dict[Digest, MissingContent] = {}
    small: set[Digest] = set()
    of_roots: dict[tuple[Repository, Digest], set[Digest]] = {}
    for named in names:
        # Many tags may point to one index with many members.
        root = (named.repository, named.descriptor.digest)
        if root in of_roots:
            of_names[str(named)] = of_roots[root]
            continue
        of_name = of_names[str(named)] = of_roots[root] = set()
        waiting, seen = [(named.descriptor, False)], set[Digest]()
        while waiting:
            descriptor, may_lack = waiting.pop()
            if descriptor.digest in seen:
                continue
            seen.add(descriptor.digest)
            try:
                manifest = await source.get_manifest(named.repository, descriptor.digest)
            except NotFound:
                if not may_lack:
                    missing.setdefault(descriptor.digest, MissingContent(descriptor, named))
                continue
            small.update([manifest.digest, *([manifest.config.digest] if manifest.config else [])])
            waiting += [(member, (manifest.digest, member.digest) in lacking) for member in manifest.manifests]
            # A foreign layer may lie elsewhere, so it is never missing.
            blobs = [*manifest.blobs, *(each for each in manifest.foreign_layers if source.holds(each.digest))]
            of_name.update(blob.digest for blob in blobs)
            for blob in blobs:
                _require_size(source, blob, named)
                wanted.setdefault(blob.digest, (blob, named))
    held = await source.contents.holders(wanted)
    new = {digest: blob for digest, (blob, _) in wanted.items() if digest not in held}
    for digest, blob in new.items():
        if not source.holds(digest):
            missing.setdefault(digest, MissingContent(blob, wanted[digest][1]))
    layout = source.bundle.head.layout
    ordered = (placed.member.digest for placed in layout.blobs())
    return NeededContent(
        tuple(new[digest] for digest in ordered if digest in new),
        {name: frozenset(digest for digest in digests if digest in new) for name, digests in of_names.items()},
        tuple(missing.values()),
        max(
            placed.end_bytes for placed in layout.members if not placed.member.is_blob or placed.member.digest in small
        ),
    )


def _require_size(source: ImportSource, blob: Descriptor, named: NamedManifest) -> None:
    placed = source.bundle.head.layout.blob(blob.digest)
    if placed is not None and placed.member.size_bytes != blob.size_bytes:
        raise BundleInvalid(
            f"{source.bundle.source.name}: {named} gives {blob.digest} a size of {blob.size_bytes} bytes, but the "
            f"bundle has {placed.member.size_bytes} bytes of it",
            digest=blob.digest,
        )
