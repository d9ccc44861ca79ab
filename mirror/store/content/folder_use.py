"""Use of a data folder: shared by all servers and commands, or by one command alone. All calls block."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror.oci.errors import Busy, StorageFault
from mirror.runtime.files import private_files
from mirror.store.content.data_layout import DataLayout
from mirror.store.storage_errors import storage_faults


def require_restored(layout: DataLayout) -> None:
    """Check that no restore into the data folder has begun that is not complete. Raises StorageFault."""
    if layout.restoring.exists():
        raise StorageFault(
            f"a restore into {layout.root} is not complete; fix: run 'plugin-mirror restore' with the same backup again"
        )


@contextmanager
def shared_use(layout: DataLayout) -> Iterator[None]:
    """Keep :func:`sole_use` away during the block. Do nothing for a data folder that must not be written.

    Raises:
        Busy: a command works on the folder alone.
        StorageFault: a restore into the folder is not complete, or the lock cannot be opened.
    """
    if layout.private_state is not None:
        yield
        return
    restored = "is being restored or recovered by another process; fix: wait for it"
    with _locked(layout, fcntl.LOCK_SH, restored, reads="only read what is there: serve --read-only"):
        require_restored(layout)  # a restore may have begun meanwhile, and been killed
        yield


@contextmanager
def sole_use(layout: DataLayout) -> Iterator[None]:
    """Be the only process on a data folder during the block.

    Raises:
        Busy: a server or another command uses the folder.
        StorageFault: the lock cannot be opened.
    """
    used = "is used by a running server or another command; fix: stop it and run this command again"
    with _locked(layout, fcntl.LOCK_EX, used):
        yield


@contextmanager
def _locked(layout: DataLayout, kind: int, otherwise: str, *, reads: str = "") -> Iterator[None]:
    file = layout.root / "locks" / ".store"
    with storage_faults(f"lock {layout.root}", otherwise=reads):
        descriptor = _open(file)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"{layout.root} {otherwise}", path=str(layout.root)) from error
        yield
    finally:
        os.close(descriptor)


def _open(file: Path) -> int:
    private_files.make_folder(file.parent)
    return private_files.open_file(file, os.O_RDWR | os.O_CREAT)
