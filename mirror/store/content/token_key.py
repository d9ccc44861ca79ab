"""The key that signs tokens. All processes on a data folder share one key."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from mirror.oci.errors import StorageDamaged
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem

_KEY_BYTES: Final = 32


def read_token_key(layout: DataLayout, filesystem: Filesystem) -> bytes:
    """Return the key. Create it if the data folder has none. Blocks.

    Raises:
        OSError: the file cannot be read or created.
        StorageDamaged: the file does not have the length of a key.
    """
    if not layout.token_key.exists():
        _make(layout, filesystem)
    key = layout.token_key.read_bytes()
    if len(key) != _KEY_BYTES:
        raise StorageDamaged(
            f"{layout.token_key} is not a key of {_KEY_BYTES} bytes; fix: remove it and start again "
            "(clients then ask for new tokens)"
        )
    return key


def _make(layout: DataLayout, filesystem: Filesystem) -> None:
    """Create the key. If several processes do so at the same time, all of them get the key of the first."""
    # Written and synced under another name, so that no process reads a key that is half written.
    fresh = layout.uploads / f"{secrets.token_hex(8)}.key"
    try:
        _write(fresh, filesystem)
        # A hard link fails where the name exists. A rename would replace the key that another process uses already.
        with suppress(FileExistsError):
            os.link(fresh, layout.token_key)
    finally:
        filesystem.remove(fresh)
    filesystem.sync_folder(layout.state)


def _write(file: Path, filesystem: Filesystem) -> None:
    filesystem.create_file(file, secrets.token_bytes(_KEY_BYTES), is_synced=True)
