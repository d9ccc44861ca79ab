"""Receipts: written for a store, and read for a delta."""

from __future__ import annotations

from pathlib import Path

from mirror.app.services import open_store
from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.delta.receipt import MOST_RECEIPT_BYTES, Receipt
from mirror.bundle.format.output_file import write_document
from mirror.bundle.format.small_files import read_small_file
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


async def load_receipt(path: Path) -> Receipt:
    """Return the receipt in a file. Raises BundleInvalid, and ConfigurationFault if the file cannot be read."""
    content = await read_small_file(path, MOST_RECEIPT_BYTES)
    try:
        return Receipt.parse(content)
    except BundleInvalid as error:
        raise BundleInvalid(f"{path}: {error}") from error
