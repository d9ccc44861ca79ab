"""The key that signs tokens: made once, shared by all processes on the data folder."""

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
    """The key; it is made where there is none. Blocks.

    Raises:
        OSError: the file cannot be read or made.
        StorageDamaged: the file is not a key.
    """
    if not layout.token_key.exists():
        _make(layout, filesystem)
    key = layout.token_key.read_bytes()
    if len(key) != _KEY_BYTES:
        raise StorageDamaged(
            f"{layout.token_key} is not a key of {_KEY_BYTES} bytes: remove it and start again; "
            "clients then ask for new tokens"
        )
    return key


def _make(layout: DataLayout, filesystem: Filesystem) -> None:
    """Make the key under another name; the first process to link it to its own has made it for all."""
    fresh = layout.uploads / f"{secrets.token_hex(8)}.key"
    try:
        _write(fresh, filesystem)
        with suppress(FileExistsError):
            os.link(fresh, layout.token_key)
    finally:
        filesystem.remove(fresh)
    filesystem.sync_folder(layout.root)


def _write(file: Path, filesystem: Filesystem) -> None:
    filesystem.create_file(file, secrets.token_bytes(_KEY_BYTES), is_synced=True)
