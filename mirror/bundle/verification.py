"""Verification of every byte of a bundle."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from typing import Final

from mirror.bundle.bundle_errors import BundleIncomplete, BundleInvalid
from mirror.bundle.format.bundle_head import BundleHead
from mirror.bundle.format.bundle_layout import PlacedMember
from mirror.bundle.format.byte_source import ByteSource, read_range
from mirror.bundle.format.member_header import END
from mirror.bundle.member_content import MemberContent
from mirror.oci import Digest
from mirror.oci.digest import new_hasher
from mirror.runtime.concurrency.threads import ThreadFuture, begin_in_thread, in_thread
from mirror.transfer.blob_locks import map_concurrently
from mirror.transfer.progress_reporting import Progress

#: Members that follow each other are read in one piece up to this size, and larger members in a stream.
_RUN_BYTES: Final = 2 * 1024 * 1024
_MOST_AT_ONCE: Final = 4
#: Damaged members that a message names. The others are counted.
_MOST_NAMED: Final = 10


async def verify_bytes(head: BundleHead, source: ByteSource, progress: Progress) -> None:
    """Compare every byte of a bundle with its statement: headers, contents, padding and end.

    All members are read, so the message names all damaged places. Memory is bounded.

    Args:
        head: the documents of the bundle.
        source: the bundle.
        progress: receiver of the bytes read.

    Raises:
        BundleInvalid: bytes differ from the statement.
        BundleIncomplete: parts are missing. Nothing is read then.
        StorageFault: the file cannot be read.
    """
    missing = source.missing(0, source.size_bytes)
    if missing:
        raise BundleIncomplete(f"{source.name} is not complete: {'; '.join(missing)}", missing=len(missing))
    progress.expect(source.size_bytes)
    at_once = min(_MOST_AT_ONCE, os.cpu_count() or 1)
    damaged: list[MemberContent] = []

    async def check(run: list[PlacedMember]) -> None:
        damaged.extend([MemberContent(source, placed) for placed in await _damaged_of(source, run, progress)])

    await map_concurrently(at_once, check, _runs(head.layout.members))
    damaged.sort(key=lambda content: content.start_bytes)
    faults = [str(await content.wrong_content()) for content in damaged[:_MOST_NAMED]]
    end = head.layout.size_bytes - len(END)
    if await read_range(source, end, len(END)) != END:
        faults.append(f"the end of {source.name} is damaged: {await source.damage(end, len(END))}")
    progress.advance(len(END))
    if faults:
        more = len(damaged) - _MOST_NAMED
        told = [*dict.fromkeys(faults), *([f"and {more} more"] if more > 0 else [])]
        raise BundleInvalid("; ".join(told), damaged=len(damaged))


def _runs(members: Iterable[PlacedMember]) -> Iterator[list[PlacedMember]]:
    """Divide members into runs that are read in one piece."""
    run: list[PlacedMember] = []
    for placed in members:
        if run and placed.end_bytes - run[0].start_bytes > _RUN_BYTES:
            yield run
            run = []
        run.append(placed)
    if run:
        yield run


async def _damaged_of(source: ByteSource, run: list[PlacedMember], progress: Progress) -> list[PlacedMember]:
    if len(run) == 1:
        return [] if await _is_sound(source, run[0], progress) else run
    start = run[0].start_bytes
    content = await read_range(source, start, run[-1].end_bytes - start)
    progress.advance(len(content))
    return await in_thread(_differing, run, content)


def _differing(run: list[PlacedMember], content: bytes) -> list[PlacedMember]:
    """Return the members of a run whose bytes differ from the statement."""
    start, found = run[0].start_bytes, []
    view = memoryview(content)
    for placed in run:
        header = view[placed.start_bytes - start : placed.content_bytes - start]
        end = placed.content_bytes - start + placed.member.size_bytes
        body, padding = view[placed.content_bytes - start : end], view[end : placed.end_bytes - start]
        digest = placed.member.digest
        if header != placed.header or padding != placed.padding or Digest.of(body, digest.algorithm) != digest:
            found.append(placed)
    return found


async def _is_sound(source: ByteSource, placed: PlacedMember, progress: Progress) -> bool:
    """Read one member. The next chunk is read while the last one is hashed."""
    hasher = new_hasher(placed.member.digest.algorithm)
    hashing: ThreadFuture[None] | None = None
    try:
        async for chunk in MemberContent(source, placed).unverified():
            if hashing is not None:
                await hashing
            hashing = begin_in_thread(hasher.update, chunk)
            progress.advance(len(chunk))
    except BundleInvalid:
        return False
    finally:
        if hashing is not None:
            await asyncio.wait([hashing])
    progress.advance(placed.end_bytes - placed.start_bytes - placed.member.size_bytes)
    return hasher.hexdigest() == placed.member.digest.hex
