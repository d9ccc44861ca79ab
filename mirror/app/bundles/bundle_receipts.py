"""The command ``bundle receipt``."""

from __future__ import annotations

from pathlib import Path

from mirror.app.services import open_store
from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.format.output_file import write_document
from mirror.runtime.concurrency.threads import in_thread
from mirror.settings import Settings


async def write_receipt(settings: Settings, output: Path) -> tuple[Receipt, int]:
    """Write a receipt for everything that the local store holds.

    Args:
        settings: location of the store.
        output: the file. An existing file is replaced at once.

    Returns:
        The receipt, and the size of the file in bytes.

    Raises:
        ConfigurationFault: there is no data folder.
        StorageFault: the store cannot be read, or the file cannot be written.
    """
    async with open_store(settings, only_reads=True) as store:
        held = await store.records.bundle_contents.held_content()
        now = store.services.clock.now().replace(microsecond=0)
    receipt = Receipt(now, held.digests, held.names, held.streams)
    content = await in_thread(receipt.to_bytes)
    await write_document(output, content)
    return receipt, len(content)
