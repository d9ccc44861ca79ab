"""Make a derived copy of a plugin: another name, other defaults, the same layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mirror.authoring.naming import notes_on_name
from mirror.authoring.tag import Named, digest_of, require_free
from mirror.oci import Digest, Tag
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import copy_graph
from mirror.transfer.derive_copy import Derived, DerivedCopyMaker, derive_beside, try_changes
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class Renamed:
    """A derived copy that was made.

    Attributes:
        original: digest of the original, which is kept beside the copy.
        named: the tag of the copy.
        derived: the differences from the original, and advice for the user.
        moved_bytes: number of bytes read from the registry of the original.
    """

    original: Digest
    named: Named
    derived: Derived
    moved_bytes: int


async def derive(
    origin: CopySource,
    target: Tag | Digest,
    place: CopyDestination,
    name: Tag,
    changes: DerivationChanges,
    *,
    keep: CopyDestination,
    source: str,
    maker: DerivedCopyMaker,
    progress: Progress,
    locks: BlobLocks,
) -> Renamed:
    """Copy a plugin, keep it by its digest, and tag a copy of it that has other defaults.

    If the call is cancelled or fails, the tag keeps its earlier target.

    Args:
        origin: registry and repository of the original.
        target: tag or digest of the original.
        place: registry and repository that receive the copy.
        name: tag of the copy. An existing tag moves.
        changes: changes to the configuration.
        keep: the repository of ``place``, for writes of the original. The policy may deny the original for something
            that the copy no longer has.
        source: source of the original, for the record of the derivation.
        maker: person or rule that makes the copy.
        progress: receives the progress of layers.
        locks: locks of all copies into the same registry.

    Raises:
        ConfigurationFault: the tag is reserved for referrers, or the plugin has no setting of a name in ``changes``.
        Unsupported: the manifest is not a plugin.
        MirrorError: any error of the registries.
    """
    require_free(name)
    manifest = await origin.registry.get_manifest(origin.repository, target)
    # Reject impossible changes before any layer is copied.
    await try_changes(origin.registry, origin.repository, manifest, changes)
    before = await digest_of(place.registry, place.repository, name)
    copied = await copy_graph(origin, manifest.digest, keep, (), progress, locks=locks)
    derived = await derive_beside(place, manifest.digest, [name], changes, source=source, maker=maker)
    copy = await place.registry.get_manifest(place.repository, derived.digest)
    notes = await notes_on_name(place.registry, place.repository, copy, name)
    derived = replace(derived, advice=(*derived.advice, *notes))
    return Renamed(manifest.digest, Named(derived.digest, before), derived, copied.moved_bytes)
