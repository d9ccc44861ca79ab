"""Opening of bundles, which is the same for all commands that read one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from mirror.bundle.format.bundle_head import read_head
from mirror.bundle.parts.source_opening import open_source
from mirror.bundle.reader import BundleReader


@asynccontextmanager
async def open_bundle(path: Path, folders: Sequence[Path] = ()) -> AsyncIterator[BundleReader]:
    """Open a bundle. Only its documents are read, and nothing is said about its signatures.

    Args:
        path: the bundle, the table of its parts, or a part.
        folders: further folders with parts.

    Raises:
        BundleInvalid: the file is not a bundle, or its documents differ from its statement.
        BundleIncomplete: the part with the documents is missing.
        ConfigurationFault: there is no such file, or the file cannot be opened.
    """
    source = await open_source(path, folders)
    yield BundleReader(await read_head(source), source)
