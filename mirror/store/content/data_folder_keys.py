"""Keys in the data folder. All processes on a data folder share them. All calls block."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mirror.oci.errors import StorageDamaged
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem

_KEY_BYTES: Final = 32


def read_token_key(layout: DataLayout, filesystem: Filesystem) -> bytes:
    """Return the key that signs tokens. Create it if the data folder has none.

    Raises:
        OSError: the file cannot be read or created.
        StorageDamaged: the file does not have the length of a key.
    """
    key = read_key(layout.token_key, lambda: secrets.token_bytes(_KEY_BYTES), layout, filesystem)
    if len(key) != _KEY_BYTES:
        raise StorageDamaged(
            f"{layout.token_key} is not a key of {_KEY_BYTES} bytes; fix: remove it and start again "
            "(clients then ask for new tokens)"
        )
    return key


def read_key(file: Path, make: Callable[[], bytes], layout: DataLayout, filesystem: Filesystem) -> bytes:
    """Return the content of a file with a key. Create it if there is none.

    If several processes do so at the same time, all of them get the key of the first.

    Args:
        file: path in the state folder.
        make: returns the content of a new file.
        layout: the data folder.
        filesystem: writes the file.

    Raises:
        OSError: the file cannot be read or created.
    """
    if not file.exists():
        # Written and synced under another name, so that no process reads a key that is half written.
        fresh = layout.uploads / f"{secrets.token_hex(8)}.key"
        try:
            filesystem.create_file(fresh, make(), is_synced=True)
            # A hard link fails where the name exists. A rename would replace the key that another process uses already.
            with suppress(FileExistsError):
                os.link(fresh, file)
        finally:
            filesystem.remove(fresh)
        filesystem.sync_folder(layout.state)
    return file.read_bytes()
