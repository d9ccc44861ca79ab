"""Files with receipts."""

from __future__ import annotations

from pathlib import Path

import aiofiles

from mirror.bundle.delta.receipt import MOST_RECEIPT_BYTES, Receipt
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.concurrency.threads import in_thread


async def read_receipt(path: Path) -> Receipt:
    """Return the receipt in a file.

    Raises:
        BundleInvalid: the file is not a receipt.
        ConfigurationFault: the file cannot be read.
    """
    try:
        async with aiofiles.open(path, "rb") as file:
            # One byte more, so that a larger file is refused.
            content = await file.read(MOST_RECEIPT_BYTES + 1)
    except OSError as error:
        raise ConfigurationFault(f"{path} cannot be read: {error.strerror}") from error
    return await in_thread(Receipt.parse, content)
