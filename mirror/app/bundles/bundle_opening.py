"""Opening of bundles, which is the same for all commands that read one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiofiles.os

from mirror.app.bundles.signature_check import SignatureCheck
from mirror.authoring.files.layout_reader import LayoutReader
from mirror.bundle.bundle_errors import BundleUntrusted
from mirror.bundle.format.bundle_head import is_bundle, read_head
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.reader import BundleReader
from mirror.registry.port import ReadLister
from mirror.settings import Settings


async def open_bundle(path: Path, folders: Sequence[Path] = ()) -> BundleReader:
    """Return the reader of a bundle. Only its documents are read, and nothing is said about its signatures.

    Args:
        path: the bundle, the table of its parts, or a part.
        folders: further folders with parts.

    Raises:
        BundleInvalid: the file is not a bundle, or its documents differ from its statement.
        BundleIncomplete: the part with the documents is missing.
        ConfigurationFault: there is no such file, or the file cannot be opened.
    """
    source = await open_source(path, folders)
    return BundleReader(await read_head(source), source)


@asynccontextmanager
async def open_layout(settings: Settings, path: Path, check: SignatureCheck) -> AsyncIterator[ReadLister]:
    """Open an image layout: a bundle, of which only the documents are read, or any other tar or folder.

    Args:
        settings: ``storage.path`` is the data folder, whose recorded keys are trusted too. It need not exist.
        path: the file or folder.
        check: check of the signatures. The content of every layout is verified by its digest.

    Raises:
        BundleUntrusted: the layout is not signed as the check demands.
        ConfigurationFault: the file cannot be opened, or is no image layout.
        MirrorError: see :func:`open_bundle` and :meth:`LayoutReader.open`.
    """
    if not await aiofiles.os.path.isdir(path):
        source = await open_source(path)
        if await is_bundle(source):
            head = await read_head(source)
            await check.apply(settings, head, path)
            yield BundleReader(head, source)
            return
    if check.public_keys:
        raise BundleUntrusted(f"{path} is not a bundle, so nobody has signed it; fix: leave out --key")
    async with LayoutReader.open(path) as layout:
        yield layout
