"""The one copy engine: blobs and whole manifests from any registry to any other.

Bytes first, manifests later, the tag last: what is interrupted leaves blobs, and never a tag whose content is not all
there. Where the destination gives leases, the next copy goes on with a blob where an interrupted one stopped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, DigestInvalid, MirrorError, NotFound, UpstreamProtocolError
from mirror.oci.media_types import essence
from mirror.oci.printable_text import quoted
from mirror.registry.port import Reader, ReadWriter, Upload
from mirror.transfer.blob_locks import BlobLocks, map_concurrently
from mirror.transfer.copy_plan import ContentGraph, CopyPlan, plan
from mirror.transfer.leased_upload import leased_upload
from mirror.transfer.partial_store import PartialStore
from mirror.transfer.progress_reporting import Progress
from mirror.wire.ranges import RangeRequest

_MOST_LEVELS = 8
_MOST_MANIFESTS = 10_000
#: Bytes of all members of an index that one copy reads; in memory they take several times that.
MOST_MEMBER_BYTES = 64 * 1024 * 1024
#: Blobs copied at the same time, where nothing else is said.
BLOBS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class CopySource:
    """A repository of a registry that content is copied from."""

    registry: Reader
    repository: Repository


@dataclass(frozen=True, slots=True)
class CopyDestination:
    """A repository of a registry that content is copied to."""

    registry: ReadWriter
    repository: Repository


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of a copy.

    Attributes:
        root: type, digest and size of the manifest.
        moved_bytes: bytes of blobs that were read from the source.
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
    """Copy a manifest with everything that it needs, then tag it.

    Args:
        origin: where the manifest is read.
        target: its tag or digest at the origin.
        destination: where it is written.
        tags: tags that it gets at the destination; none: it is held by digest only.
        progress: told of the progress.
        blobs_at_once: how many blobs move at the same time.
        locks: shared with copies that run at the same time and may need the same blobs.

    Raises:
        UpstreamProtocolError: sizes, types or digests of the source differ from what a manifest gives.
        And whatever source and destination raise. Content stored so far stays; nothing is tagged.

    Cancelled, it leaves what an error leaves.
    """
    planned = await plan_graph(origin, target, destination, blobs_at_once=blobs_at_once)
    progress.expect(planned.size_bytes)
    locks = locks or BlobLocks()

    async def move(blob: Descriptor) -> int:
        async with locks.hold(blob.digest):
            if locks.partials is None:
                return await _move(origin, destination, blob, progress)
            return await _move_with_lease(origin, destination, blob, progress, locks.partials)

    moved_bytes = sum(await map_concurrently(blobs_at_once, move, planned.blobs))
    registry, repository, root = destination.registry, destination.repository, planned.root
    for manifest in planned.manifests:
        await registry.put_manifest(repository, manifest, tags if manifest is root else ())
    stored = await registry.resolve(repository, root.digest)
    if stored != root.descriptor:
        raise UpstreamProtocolError(
            f"{repository}: {root.digest} was stored, {stored.media_type} {stored.digest} is read"
        )
    return Copied(root.descriptor, moved_bytes)


async def plan_graph(
    origin: CopySource, target: Tag | Digest, destination: CopyDestination, *, blobs_at_once: int = BLOBS_AT_ONCE
) -> CopyPlan:
    """Work out what :func:`copy_graph` would move, by reading manifests. Arguments and errors are the same."""
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
        with suppress(MirrorError):  # nobody would go on with it; what made it fail is what must be told
            await upload.cancel()
        raise


async def _move_with_lease(
    origin: CopySource, destination: CopyDestination, blob: Descriptor, progress: Progress, partials: PartialStore
) -> int:
    """As :func:`_move`, under the lease of the blob; where another holder fetches it, wait for that."""
    while True:
        async with leased_upload(partials, destination.repository, blob.digest) as upload:
            if await _mount(origin, destination, blob, progress):
                await upload.cancel()
                return 0
            resumed = upload.offset > 0
            try:
                return await _complete(origin, upload, blob, progress)
            except DigestInvalid:
                if not resumed:  # else what was left of an earlier copy was not what it should have been
                    raise
            except UpstreamProtocolError:
                with suppress(MirrorError):  # the lie is what must be told
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
    """Add what an upload lacks, and commit it. Returns the bytes read from the origin."""
    resumed_at = upload.offset
    progress.advance(resumed_at)
    if resumed_at < blob.size_bytes:
        await upload.append(_remaining_content(origin, blob, resumed_at, progress))
    await upload.commit(blob.digest)
    return max(blob.size_bytes - resumed_at, 0)


async def _remaining_content(
    origin: CopySource, blob: Descriptor, resumed_at: int, progress: Progress
) -> AsyncIterator[bytes]:
    """Read a blob from some byte on. It is opened at the first read: an upload that cannot go on fails before."""
    part = RangeRequest(resumed_at, None) if resumed_at else None
    async with origin.registry.open_blob(origin.repository, blob.digest, part) as content:
        _check_size(blob, content.size_bytes)
        async for chunk in content:
            progress.advance(len(chunk))
            yield chunk


def _check_size(blob: Descriptor, size_bytes: int) -> None:
    if blob.size_bytes != size_bytes:
        raise UpstreamProtocolError(
            f"the manifest gives {blob.digest} {blob.size_bytes} bytes, it has {size_bytes}", digest=blob.digest
        )


async def _read_below(origin: CopySource, destination: CopyDestination, root: Manifest) -> dict[Digest, Manifest]:
    """Read the members of an index, and their members, that the destination does not hold."""
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
        read_bytes += manifest.size_bytes
        if read_bytes > MOST_MEMBER_BYTES:
            raise UpstreamProtocolError(
                f"{origin.repository}@{root.digest} leads to manifests of more than {MOST_MEMBER_BYTES} bytes"
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
                f"{origin.repository}@{root.digest} leads to more than {_MOST_MANIFESTS} manifests"
            )
    raise UpstreamProtocolError(
        f"{origin.repository}@{root.digest} holds indexes within indexes, over {_MOST_LEVELS} deep"
    )


def _as_described(manifest: Manifest, descriptor: Descriptor) -> Manifest:
    if (manifest.media_type, manifest.size_bytes) != (essence(descriptor.media_type), descriptor.size_bytes):
        raise UpstreamProtocolError(
            f"an index gives {manifest.digest} as {quoted(descriptor.media_type)} of {descriptor.size_bytes} bytes, "
            f"it is {manifest.media_type} of {manifest.size_bytes}",
            digest=manifest.digest,
        )
    return manifest
