"""The journal file of an export: lines of JSON, of which the last whole one counts.

Each second adds a line, which a killed process leaves behind. Only the first line is synced, and stands for bytes that
are synced too: now and then the file is replaced by a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import aiofiles

from mirror.bundle.export.output.bundle_output import BundleOutput
from mirror.bundle.export.output.content_writer import ContentWriter
from mirror.bundle.export.output.export_journal import ExportJournal
from mirror.bundle.format.output_file import write_document, writing_file
from mirror.oci.errors import StorageFault
from mirror.runtime.concurrency.background_tasks import BackgroundTasks

_SECONDS: Final = 1.0
#: Lines between two syncs. An export that goes on after a power failure writes at most this many seconds again.
_LINES_PER_SYNC: Final = 30
_MOST_BYTES: Final = 64 * 1024 * 1024


async def read_journal(output: BundleOutput) -> ExportJournal | None:
    """Return the journal of an interrupted export; None if there is none."""
    try:
        async with aiofiles.open(output.journal, "rb") as file:
            lines = (await file.read(_MOST_BYTES)).splitlines()
    except OSError:
        return None
    found = (ExportJournal.parse(line) for line in reversed(lines))
    return next((journal for journal in found if journal is not None), None) if output.size_bytes else None


@asynccontextmanager
async def kept_journal(output: BundleOutput, writer: ContentWriter) -> AsyncIterator[None]:
    """Keep the journal up to date inside the ``async with``, and leave it right at the end."""
    await _begin(output, writer)
    try:
        async with BackgroundTasks() as tasks:
            tasks.create_task(_keep(output, writer))
            yield
        await _add(output, writer)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # callers catch MirrorError
    except BaseException:
        with suppress(StorageFault):  # the first error tells more
            await _add(output, writer)
        raise


async def _keep(output: BundleOutput, writer: ContentWriter) -> None:
    while True:
        for _ in range(_LINES_PER_SYNC):
            await asyncio.sleep(_SECONDS)
            await _add(output, writer)
        await writer.sync()
        await _begin(output, writer)


async def _begin(output: BundleOutput, writer: ContentWriter) -> None:
    await write_document(output.journal, writer.journal().to_bytes() + b"\n")


async def _add(output: BundleOutput, writer: ContentWriter) -> None:
    with writing_file(output.journal):
        async with aiofiles.open(output.journal, "ab") as file:
            await file.write(writer.journal().to_bytes() + b"\n")
