"""The journal file of an export, written while the export runs and when it ends early."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from mirror.bundle.export.bundle_output import BundleOutput
from mirror.bundle.export.content_writer import ContentWriter
from mirror.bundle.export.export_journal import MOST_JOURNAL_BYTES, ExportJournal
from mirror.bundle.file_faults import file_faults
from mirror.runtime.concurrency.background_tasks import BackgroundTasks
from mirror.runtime.concurrency.threads import in_thread

_SECONDS: Final = 1.0
#: Journals between two syncs. An export that goes on after a power failure writes at most this many seconds again.
_JOURNALS_PER_SYNC: Final = 30


async def read_journal(output: BundleOutput) -> ExportJournal | None:
    """Return the journal of an interrupted export; None if there is none that fits the partial file."""
    content = await in_thread(_read, output.journal)
    return ExportJournal.parse(content) if content and output.size_bytes else None


async def write_journal(output: BundleOutput, journal: ExportJournal) -> None:
    """Replace the journal. Raises StorageFault."""
    await in_thread(_write, output.journal, journal.to_bytes())


@asynccontextmanager
async def kept_journal(output: BundleOutput, writer: ContentWriter) -> AsyncIterator[None]:
    """Keep the journal up to date inside the ``async with``, and leave it right when the block raises."""
    await write_journal(output, writer.journal())
    try:
        async with BackgroundTasks() as tasks:
            tasks.create_task(_keep(output, writer))
            yield
    except BaseException:
        await write_journal(output, writer.journal())
        raise


async def _keep(output: BundleOutput, writer: ContentWriter) -> None:
    number = 0
    while True:
        await asyncio.sleep(_SECONDS)
        number += 1
        if number % _JOURNALS_PER_SYNC == 0:
            await writer.sync()
        await write_journal(output, writer.journal())


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MOST_JOURNAL_BYTES)
    except OSError:
        return b""


def _write(file: Path, content: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    with file_faults(file):
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(file)
