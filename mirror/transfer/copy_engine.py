"""Copy engine: copies blobs and whole manifests from any registry to any other.

Blobs are copied first, then manifests, then the tag. An interrupted copy leaves blobs, but never a tag with missing
content. If the destination offers leases, the next copy of a blob continues where the interrupted one stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import partial

from mirror.oci import Descriptor, Digest, Tag
from mirror.oci.errors import BlobUnknown, ClientFault, DigestInvalid, MirrorError, UpstreamFault, UpstreamProtocolError
from mirror.records.absent_content import AbsentContent
from mirror.registry.port import Blob, Unverified
from mirror.registry.streams import closing_stream
from mirror.registry.upload import Upload
from mirror.transfer.blob_locks import BlobLocks, map_concurrently
from mirror.transfer.copy_plan import CopyPlan, plan
from mirror.transfer.graph.content_choice import EVERYTHING, ContentChoice
from mirror.transfer.graph.foreign_layers import ForeignPlan, absent_layers, open_foreign, plan_foreign
from mirror.transfer.graph.graph_reading import read_graph
from mirror.transfer.graph.places import CopyDestination, CopySource
from mirror.transfer.leased_upload import leased_upload
from mirror.transfer.partial_store import PartialStore
from mirror.transfer.progress_reporting import Progress
from mirror.wire.ranges import RangeRequest

#: Default number of blobs copied at the same time.
BLOBS_AT_ONCE = 4

_Opener = Callable[[RangeRequest | None], AbstractAsyncContextManager[Blob]]


@dataclass(frozen=True, slots=True)
class Copied:
    """Result of a copy.

    Attributes:
        root: media type, digest and size of the copied manifest.
        moved_bytes: bytes of blobs read from the source.
        absent: content of the manifests that was not copied.
    """

    root: Descriptor
    moved_bytes: int
    absent: tuple[AbsentContent, ...] = ()


@dataclass(frozen=True, slots=True)
class _BlobCopy:
    """A blob to copy. ``open`` opens the blob, or a part of the blob, at its source."""

    origin: CopySource
    destination: CopyDestination
    blob: Descriptor
    open: _Opener
    progress: Progress


async def copy_graph(
    origin: CopySource,
    target: Tag | Digest,
    destination: CopyDestination,
    tags: Collection[Tag],
    progress: Progress,
    *,
    blobs_at_once: int = BLOBS_AT_ONCE,
    locks: BlobLocks | None = None,
    choice: ContentChoice = EVERYTHING,
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
        choice: choice of members of indexes, and of foreign layers.

    Raises:
        ManifestUnknown: the choice takes no member of an index.
        UpstreamProtocolError: a size, type or digest at the source differs from the value in a manifest.
        StorageFull: the missing blobs do not fit on the disk. None is copied.
        MirrorError: any error of source or destination. Content stored so far stays. Nothing is tagged.

    Cancellation leaves the same state as an error.
    """
    root = await origin.registry.get_manifest(origin.repository, target)
    graph = await read_graph(origin, destination, root, choice)
    held = await _held(destination, (*graph.blobs(), *graph.foreign_layers()), blobs_at_once)
    wanted = [layer for layer in graph.foreign_layers() if layer.digest not in held]
    foreign = await plan_foreign(origin, wanted, choice)
    planned = plan(graph, held, foreign.blobs)
    progress.expect(planned.size_bytes)
    locks = locks or BlobLocks()
    left_out = {layer.digest: choice.foreign_setting for layer in wanted if layer not in foreign.blobs}
    if locks.partials is not None:
        await locks.partials.require_room(planned.blobs)

    async def move(blob: Descriptor) -> int:
        async with locks.hold(blob.digest):
            try:
                opener = _opener(origin, blob, foreign, choice)
                return await _move(_BlobCopy(origin, destination, blob, opener, progress), locks.partials)
            except (UpstreamFault, ClientFault) as error:
                if not foreign.may_lack(blob, error):
                    raise
                left_out[blob.digest] = f"{choice.foreign_setting}: {error}"
                return 0

    # Blobs before manifests, members before their index, the tag with the root: a tag never points to missing content.
    moved_bytes = sum(await map_concurrently(blobs_at_once, move, planned.blobs))
    absent = await _put_manifests(destination, planned, tags, absent_layers(planned.manifests, left_out))
    # The destination may be any server: read the manifest back before the copy counts as done.
    stored = await destination.registry.resolve(destination.repository, root.digest)
    if stored != root.descriptor:
        raise UpstreamProtocolError(
            f"{destination.repository}: stored {root.digest}, "
            f"but the registry returns {stored.media_type} {stored.digest}"
        )
    return Copied(root.descriptor, moved_bytes, absent)


async def copy_blob(
    origin: CopySource, destination: CopyDestination, blob: Descriptor, progress: Progress, locks: BlobLocks
) -> int:
    """Copy one blob, or mount the blob if the destination holds it elsewhere. Returns the bytes read from the source.

    Arguments, errors and cancellation are those of :func:`copy_graph`.
    """
    opener = partial(origin.registry.open_blob, origin.repository, blob.digest, size_bytes=blob.size_bytes)
    async with locks.hold(blob.digest):
        return await _move(_BlobCopy(origin, destination, blob, opener, progress), locks.partials)


async def _put_manifests(
    destination: CopyDestination,
    planned: CopyPlan,
    tags: Collection[Tag],
    layers: dict[Digest, tuple[AbsentContent, ...]],
) -> tuple[AbsentContent, ...]:
    """Store the manifests of a plan, and record what they lack. Returns the absent content."""
    found: list[AbsentContent] = []
    for manifest in planned.manifests:
        absent = (*planned.absent.get(manifest.digest, ()), *layers.get(manifest.digest, ()))
        # Recorded first, because the destination accepts no index with missing members otherwise.
        if destination.absent is not None and (manifest.manifests or manifest.foreign_layers):
            known = await destination.absent.absent_content(destination.repository, manifest=manifest.digest)
            if {*known} != {*absent}:
                await destination.absent.record_absent(destination.repository, manifest.digest, absent)
        await destination.registry.put_manifest(
            destination.repository, manifest, tags if manifest is planned.root else ()
        )
        found += absent
    return tuple(found)


async def _held(destination: CopyDestination, blobs: Collection[Descriptor], at_once: int) -> set[Digest]:
    """Return the digests of the blobs that the destination holds."""

    async def find(blob: Descriptor) -> bool:
        try:
            found = await destination.registry.stat_blob(destination.repository, blob.digest)
        except BlobUnknown:
            return False
        _check_size(blob, found.size_bytes)
        return True

    found = await map_concurrently(at_once, find, blobs)
    return {blob.digest for blob, is_held in zip(blobs, found, strict=True) if is_held}


def _opener(origin: CopySource, blob: Descriptor, foreign: ForeignPlan, choice: ContentChoice) -> _Opener:
    if blob.digest in foreign.by_url:
        return partial(open_foreign, origin, blob, choice)
    return partial(origin.registry.open_blob, origin.repository, blob.digest, size_bytes=blob.size_bytes)


async def _move(copy: _BlobCopy, partials: PartialStore | None) -> int:
    """Copy a blob. Returns the number of bytes read from its source."""
    if partials is not None:
        return await _move_with_lease(copy, partials)
    if await _mount(copy):
        return 0
    registry, repository = copy.destination.registry, copy.destination.repository
    upload = await registry.begin_upload(repository, algorithm=copy.blob.digest.algorithm)
    try:
        return await _complete(copy, upload)
    except MirrorError:
        # No later copy would continue a plain upload, so it is cancelled (ADR 27). The first error is the one to
        # report, so an error of the cancellation is ignored.
        with suppress(MirrorError):
            await upload.cancel()
        raise


async def _move_with_lease(copy: _BlobCopy, partials: PartialStore) -> int:
    """Move a blob under its lease, as :func:`_move` does without one. Waits while another process holds the lease."""
    while True:
        async with leased_upload(partials, copy.destination.repository, copy.blob.digest) as upload:
            # Under the lease: the holder before us may have stored the blob while we waited.
            if await _mount(copy):
                await upload.cancel()
                return 0
            resumed = upload.offset > 0
            try:
                return await _complete(copy, upload, verifies=True)
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


async def _mount(copy: _BlobCopy) -> bool:
    destination = copy.destination
    source = copy.origin.repository if copy.origin.registry is destination.registry else None
    mounted = await destination.registry.mount_blob(destination.repository, copy.blob.digest, source)
    if mounted is None:
        return False
    _check_size(copy.blob, mounted.size_bytes)
    copy.progress.advance(copy.blob.size_bytes)
    return True


async def _complete(copy: _BlobCopy, upload: Upload, *, verifies: bool = False) -> int:
    """Append the missing bytes to an upload and commit the upload. Returns the number of bytes read from the source.

    If the upload is known to verify at its commit, the source need not. Other uploads may be those of any server.
    """
    resumed_at, blob = upload.offset, copy.blob
    unverified: Unverified | None = None

    async def remaining() -> AsyncIterator[bytes]:
        # Opened at the first read, so an upload that cannot continue fails before anything is requested.
        nonlocal unverified
        async with copy.open(RangeRequest(resumed_at, None) if resumed_at else None) as content:
            _check_size(blob, content.size_bytes)
            if verifies and isinstance(content, Unverified):
                unverified = content
            chunks = aiter(content) if unverified is None else unverified.unverified()
            async with closing_stream(chunks):
                async for chunk in chunks:
                    copy.progress.advance(len(chunk))
                    yield chunk

    copy.progress.advance(resumed_at)
    if resumed_at < blob.size_bytes:
        await upload.append(remaining(), size_bytes=blob.size_bytes - resumed_at)
    try:
        await upload.commit(blob.digest)
    except DigestInvalid as error:
        if unverified is None or resumed_at:  # earlier bytes may be the wrong ones
            raise
        raise await unverified.wrong_content() from error
    return max(blob.size_bytes - resumed_at, 0)


def _check_size(blob: Descriptor, size_bytes: int) -> None:
    if blob.size_bytes != size_bytes:
        raise UpstreamProtocolError(
            f"the manifest gives {blob.digest} a size of {blob.size_bytes} bytes, but the blob has {size_bytes} bytes",
            digest=blob.digest,
        )
