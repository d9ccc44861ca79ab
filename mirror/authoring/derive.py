"""A plugin's copy under another name and with other defaults, from any registry into ours."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.authoring.tag import Named, digest_of, require_free
from mirror.oci import Digest, Tag
from mirror.plugin.build.derivation import DerivationChanges
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.copy_engine import CopyDestination, CopySource, copy_graph
from mirror.transfer.derive_copy import Derived, DerivedCopyMaker, derive_beside, try_changes
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class Renamed:
    """A copy that was made.

    Attributes:
        original: what it was made of; kept beside it.
        named: its tag.
        derived: what is different, and what there is to say of it.
        moved_bytes: bytes that were read from where the original was.
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
    """Copy a plugin, keep it by its digest, and give the name to a copy of it with changes.

    Args:
        origin, target: where it is read, and its name there.
        place: where the copy is written.
        name: the copy's tag; one that is there moves.
        changes: what is to be different.
        keep: the same repository, as the original is written to it: it may have what the copy has not any more.
        source: where the original is from, for the note.
        maker: who makes it.
        progress: told how layers move.
        locks: of copies into the same registry.

    Raises:
        ConfigurationFault: the name is kept for something else; the plugin has nothing of a name that is to be changed.
        Unsupported: it is no plugin. And whatever the registries raise.

    Cancelled, or failed, it leaves the tag as it was.
    """
    require_free(name)
    manifest = await origin.registry.get_manifest(origin.repository, target)
    await try_changes(origin.registry, origin.repository, manifest, changes)
    before = await digest_of(place.registry, place.repository, name)
    copied = await copy_graph(origin, manifest.digest, keep, (), progress, locks=locks)
    derived = await derive_beside(place, manifest.digest, [name], changes, source=source, maker=maker)
    return Renamed(manifest.digest, Named(derived.digest, before), derived, copied.moved_bytes)
