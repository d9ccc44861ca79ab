"""Copy engine: copies blobs and whole manifests from any registry to any other.

Blobs are copied first, then manifests, then the tag. An interrupted copy leaves blobs, but never a tag with missing
content. If the destination offers leases, the next copy of a blob continues where the interrupted one stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, DigestInvalid, MirrorError, NotFound, UpstreamProtocolError
from mirror.oci.media_types import essence
from mirror.oci.printable_text import quoted
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.registry.port import Reader, ReadWriter, Upload
from mirror.transfer.blob_locks import BlobLocks, map_concurrently
from mirror.transfer.copy_plan import ContentGraph, CopyPlan, plan
from mirror.transfer.leased_upload import leased_upload
from mirror.transfer.partial_store import PartialStore
from mirror.transfer.progress_reporting import Progress
from mirror.wire.ranges import RangeRequest

# Indexes come from outside, so their depth, number and size are bounded.
_MOST_LEVELS = 8
_MOST_MANIFESTS = 10_000
#: Bytes of all index members read by one copy. In memory, they take several times as much.
MOST_MEMBER_BYTES = 64 * 1024 * 1024
#: Default number of blobs copied at the same time.
BLOBS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class CopySource:
    """Repository of a registry to copy from."""

    registry: Reader
    repository: Repository


@dataclass(frozen=True, slots=True)
class CopyDestination:
    """Repository of a registry to copy to.

    Attributes:
        registry: the registry.
        repository: the repository.
        layer_written: called with the facts of a layer that this process wrote itself, so that the checks of the
            registry need not read the layer again. None if nobody keeps such facts.
    """

    registry: ReadWriter
    repository: Repository
    layer_written: Callable[[Digest, LayerFacts], None] | None = None


@dataclass(frozen=True, slots=True)
class Copied:
    """Result of a copy.

    Attributes:
        root: media type, digest and size of the copied manifest.
        moved_bytes: bytes of blobs read from the source.
    """

    root: Descriptor
    moved_bytes: int


async def copy_graph(
    origin: CopySource,
    target: Tag | Digest,
    destination: CopyDestination,
    tags: Collection[Tag],
    progress: Progress,
    *,
    blobs_at_once: int = BLOBS_AT_ONCE,
    locks: BlobLocks | None = None,
) -> Copied:
    """Copy a manifest with all content it needs, then tag the manifest.

    Args:
        origin: repository to read from.
        target: tag or digest of the manifest at the origin.
        destination: repository to write to.
        tags: tags for the manifest at the destination. Without tags, the manifest is held by digest only.
        progress: receiver of the progress.
        blobs_at_once: number of blobs copied at the same time.
        locks: locks shared with simultaneous copies that may need the same blobs.

    Raises:
        UpstreamProtocolError: a size, type or digest at the source differs from the value in a manifest.
        StorageFull: the missing blobs do not fit on the disk. None is copied.
        MirrorError: any error of source or destination. Content stored so far stays. Nothing is tagged.

    Cancellation leaves the same state as an error.
    """
    planned = await plan_graph(origin, target, destination, blobs_at_once=blobs_at_once)
    progress.expect(planned.size_bytes)
    locks = locks or BlobLocks()
    if locks.partials is not None:
        await locks.partials.require_room(planned.blobs)

    async def move(blob: Descriptor) -> int:
        async with locks.hold(blob.digest):
            if locks.partials is None:
                return await _move(origin, destination, blob, progress)
            return await _move_with_lease(origin, destination, blob, progress, locks.partials)

    # Blobs before manifests, members before their index, the tag with the root: a tag never points to missing content.
    moved_bytes = sum(await map_concurrently(blobs_at_once, move, planned.blobs))
    registry, repository, root = destination.registry, destination.repository, planned.root
    for manifest in planned.manifests:
        await registry.put_manifest(repository, manifest, tags if manifest is root else ())
    # The destination may be any server: read the manifest back before the copy counts as done.
    stored = await registry.resolve(repository, root.digest)
    if stored != root.descriptor:
        raise UpstreamProtocolError(
            f"{repository}: stored {root.digest}, but the registry returns {stored.media_type} {stored.digest}"
        )
    return Copied(root.descriptor, moved_bytes)


async def plan_graph(
    origin: CopySource, target: Tag | Digest, destination: CopyDestination, *, blobs_at_once: int = BLOBS_AT_ONCE
) -> CopyPlan:
    """Plan the copy made by :func:`copy_graph`, by reading manifests only. Arguments and errors are the same."""
    root = await origin.registry.get_manifest(origin.repository, target)
    graph = ContentGraph(root, await _read_below(origin, destination, root))

    async def held(blob: Descriptor) -> bool:
        return await _holds(destination, blob)

    blobs = graph.blobs()
    found = await map_concurrently(blobs_at_once, held, blobs)
    return plan(graph, {blob.digest for blob, is_held in zip(blobs, found, strict=True) if is_held})


async def _holds(destination: CopyDestination, blob: Descriptor) -> bool:
    try:
        found = await destination.registry.stat_blob(destination.repository, blob.digest)
    except BlobUnknown:
        return False
    _check_size(blob, found.size_bytes)
    return True


async def _move(origin: CopySource, destination: CopyDestination, blob: Descriptor, progress: Progress) -> int:
    if await _mount(origin, destination, blob, progress):
        return 0
    registry, repository = destination.registry, destination.repository
    upload = await registry.begin_upload(repository, algorithm=blob.digest.algorithm)
    try:
        return await _complete(origin, upload, blob, progress)
    except MirrorError:
        # No later copy would continue a plain upload, so it is cancelled (ADR 27). The first error is the one to
        # report, so an error of the cancellation is ignored.
        with suppress(MirrorError):
            await upload.cancel()
        raise


async def _move_with_lease(
    origin: CopySource, destination: CopyDestination, blob: Descriptor, progress: Progress, partials: PartialStore
) -> int:
    """Move a blob under its lease, as :func:`_move` does without one. Waits while another process holds the lease."""
    while True:
        async with leased_upload(partials, destination.repository, blob.digest) as upload:
            # Under the lease: the holder before us may have stored the blob while we waited.
            if await _mount(origin, destination, blob, progress):
                await upload.cancel()
                return 0
            resumed = upload.offset > 0
            try:
                return await _complete(origin, upload, blob, progress)
            except DigestInvalid:
                # The bytes left by an earlier download may have been wrong. They are dropped by now, so a second
                # attempt reads the whole blob.
                if not resumed:
                    raise
            except UpstreamProtocolError:
                # Bytes from an upstream that lied are not kept for the next holder. Report the lie, not an error of
                # the cancellation.
                with suppress(MirrorError):
                    await upload.cancel()
                raise


async def _mount(origin: CopySource, destination: CopyDestination, blob: Descriptor, progress: Progress) -> bool:
    source = origin.repository if origin.registry is destination.registry else None
    mounted = await destination.registry.mount_blob(destination.repository, blob.digest, source)
    if mounted is None:
        return False
    _check_size(blob, mounted.size_bytes)
    progress.advance(blob.size_bytes)
    return True


async def _complete(origin: CopySource, upload: Upload, blob: Descriptor, progress: Progress) -> int:
    """Append the missing bytes to an upload and commit the upload. Returns the number of bytes read from the origin."""
    resumed_at = upload.offset
    progress.advance(resumed_at)
    if resumed_at < blob.size_bytes:
        missing_bytes = blob.size_bytes - resumed_at
        await upload.append(_remaining_content(origin, blob, resumed_at, progress), size_bytes=missing_bytes)
    await upload.commit(blob.digest)
    return max(blob.size_bytes - resumed_at, 0)


async def _remaining_content(
    origin: CopySource, blob: Descriptor, resumed_at: int, progress: Progress
) -> AsyncIterator[bytes]:
    """Read a blob from an offset on.

    The blob is opened at the first read, so an upload that cannot continue fails before anything is requested.
    """
    part = RangeRequest(resumed_at, None) if resumed_at else None
    async with origin.registry.open_blob(origin.repository, blob.digest, part) as content:
        _check_size(blob, content.size_bytes)
        async for chunk in content:
            progress.advance(len(chunk))
            yield chunk


def _check_size(blob: Descriptor, size_bytes: int) -> None:
    if blob.size_bytes != size_bytes:
        raise UpstreamProtocolError(
            f"the manifest gives {blob.digest} a size of {blob.size_bytes} bytes, but the blob has {size_bytes} bytes",
            digest=blob.digest,
        )


async def _read_below(origin: CopySource, destination: CopyDestination, root: Manifest) -> dict[Digest, Manifest]:
    """Read the members of an index, at all levels, which the destination does not hold."""
    below: dict[Digest, Manifest] = {}
    read_bytes = 0

    async def read(member: Descriptor) -> Manifest | None:
        nonlocal read_bytes
        try:
            await destination.registry.resolve(destination.repository, member.digest)
        except NotFound:
            manifest = _as_described(await origin.registry.get_manifest(origin.repository, member.digest), member)
        else:
            return None
        # Checked as the members arrive: an index may name very many.
        read_bytes += manifest.size_bytes
        if read_bytes > MOST_MEMBER_BYTES:
            raise UpstreamProtocolError(
                f"{origin.repository}@{root.digest} refers to manifests of more than {MOST_MEMBER_BYTES} bytes in total"
            )
        return manifest

    level = [root]
    for _ in range(_MOST_LEVELS):
        members = {member.digest: member for manifest in level for member in manifest.manifests}
        wanted = [member for digest, member in members.items() if digest not in below]
        if not wanted:
            return below
        level = [manifest for manifest in await map_concurrently(BLOBS_AT_ONCE, read, wanted) if manifest]
        below |= {manifest.digest: manifest for manifest in level}
        if len(below) > _MOST_MANIFESTS:
            raise UpstreamProtocolError(
                f"{origin.repository}@{root.digest} refers to more than {_MOST_MANIFESTS} manifests"
            )
    raise UpstreamProtocolError(f"{origin.repository}@{root.digest} nests indexes more than {_MOST_LEVELS} levels deep")


def _as_described(manifest: Manifest, descriptor: Descriptor) -> Manifest:
    if (manifest.media_type, manifest.size_bytes) != (essence(descriptor.media_type), descriptor.size_bytes):
        raise UpstreamProtocolError(
            f"an index describes {manifest.digest} as {quoted(descriptor.media_type)} of {descriptor.size_bytes} "
            f"bytes, but it is {manifest.media_type} of {manifest.size_bytes} bytes",
            digest=manifest.digest,
        )
    return manifest
