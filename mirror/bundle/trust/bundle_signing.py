"""Signatures that are added to a bundle or a key set after it was made."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiofiles
import aiofiles.os

from mirror.bundle.format.bundle_head import BundleHead, read_head
from mirror.bundle.format.byte_source import read_range
from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.member import STATEMENT
from mirror.bundle.format.output_file import write_document
from mirror.bundle.parts.overwriting import overwrite
from mirror.bundle.parts.parts_table import bundle_of_table
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.trust.key_set import SignedKeySet
from mirror.bundle.trust.key_set_files import load_key_set
from mirror.bundle.trust.signing_keys import SigningKey, sign
from mirror.runtime.concurrency.threads import in_thread

_SIGNATURES: Final = b'"signatures":['
_WAIT_SECONDS: Final = 0.05


async def sign_bundle(path: Path, folders: Sequence[Path], key: SigningKey) -> tuple[BundleHead, Envelope]:
    """Add a signature to a bundle in place, and return the head and the envelope with all signatures.

    The rest of the bundle is neither read nor moved. An earlier signature by the same key is replaced.

    Args:
        path: the bundle, the table of its parts, or a part.
        folders: further folders with parts.
        key: the key.

    Raises:
        BundleInvalid: the file is not a bundle, or the envelope has no room for another signature.
        BundleIncomplete: a part with the statement is missing.
        ConfigurationFault: there is no such file.
        StorageFault: the file cannot be written.
    """
    async with _alone_in(path.parent):
        return await _sign_bundle(path, folders, key)


async def _sign_bundle(path: Path, folders: Sequence[Path], key: SigningKey) -> tuple[BundleHead, Envelope]:
    source = await open_source(path, folders)
    head = await read_head(source)
    signed = sign(head.envelope, key)
    (place,) = (placed for placed in head.layout.documents() if placed.member.path == STATEMENT)
    new = signed.to_bytes(place.member.size_bytes)
    old = await read_range(source, place.content_bytes, place.member.size_bytes)
    # Signatures come last in the envelope. Only they are written, so that an interruption cannot damage the statement.
    same_bytes = new.rindex(_SIGNATURES)
    if old[:same_bytes] != new[:same_bytes]:  # another program wrote the envelope
        same_bytes = 0
    await overwrite(source, place.content_bytes + same_bytes, new[same_bytes:])
    return head, signed


async def sign_key_set(path: Path, key: SigningKey) -> SignedKeySet:
    """Add a signature to a key set in a file, and return the key set with all signatures.

    Raises:
        ConfigurationFault: the file cannot be read.
        BundleInvalid: the file is not a key set.
        StorageFault: the file cannot be written. It is unchanged.
    """
    async with _alone_in(path.parent):
        found = await load_key_set(path)
        signed = SignedKeySet(found.key_set, sign(found.envelope, key))
        await write_document(path, signed.to_bytes())
        return signed


async def is_key_set_file(path: Path) -> bool:
    """Return True if a file has a key set rather than a bundle or the table of its parts."""
    if bundle_of_table(path.name) is not None or not await aiofiles.os.path.isfile(path):
        return False  # a bundle in parts need not exist under its own name
    try:
        async with aiofiles.open(path, "rb") as file:
            return await file.read(1) == b"{"
    except OSError:
        return False  # told by the reader of the bundle


@asynccontextmanager
async def _alone_in(folder: Path) -> AsyncIterator[None]:
    """Wait until nobody else signs in a folder. Of two signatures that are added at once, one would be lost otherwise.

    The folder is locked and not the file, because a key set is replaced by a new file.
    """
    try:
        descriptor = await in_thread(os.open, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield  # there is no such folder, which the reader of the file says better
        return
    try:
        while not await in_thread(_is_locked, descriptor):  # noqa: ASYNC110 - the holder is another process
            await asyncio.sleep(_WAIT_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    """Lock a folder if no other process has. Return False if one has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some file systems, such as NFS, lock no folders
    return True
