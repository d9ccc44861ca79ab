"""Records of running servers in their data folder, by which commands find them. All calls block.

A server locks its record as long as it lives. A record with a free lock is that of a dead server, and the next server
removes it. Several servers may use one data folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from mirror.oci.errors import StorageFault
from mirror.runtime.files import private_files
from mirror.store.storage_errors import storage_faults

#: Beginning of the names in the folder of the locks. Names of mirror rules do not begin with a dot.
_PREFIX: Final = ".server-"
#: Size of a record, which is always the same: a rewrite needs no space, so that it succeeds on a full disk too.
_RECORD_BYTES: Final = 8192
_MOST_REASON: Final = 1500


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server, as its record shows it.

    Attributes:
        pid: process id of the server, or of the parent of its workers.
        pid_namespace: namespace of the process id, from :func:`pid_namespace`.
        addresses: addresses that the server listens on, as ``HOST:PORT``: that of ``server.listen`` first.
        has_tls: True if the first address speaks TLS.
        begun: number of reloads that have begun.
        ended: number of reloads that have ended.
        refusal: reason why the last reload was refused; empty if it was not.
        waiting: keys whose change waits for a restart.
    """

    pid: int
    pid_namespace: str
    addresses: tuple[str, ...]
    has_tls: bool
    begun: int = 0
    ended: int = 0
    refusal: str = ""
    waiting: tuple[str, ...] = ()


class ServerRecord:
    """The record of this server. Made by :func:`recorded`.

    Args:
        descriptor: file of the record; None if it could not be created.
        server: the server.
    """

    def __init__(self, descriptor: int | None, server: RunningServer) -> None:
        self._descriptor = descriptor
        self._server = server
        self._write()

    def reload_begins(self, number: int) -> None:
        """Record that a reload begins."""
        self._change(begun=number)

    def reload_ended(self, number: int, refusal: str, waiting: Sequence[str]) -> None:
        """Record the outcome of a reload."""
        self._change(ended=number, refusal=refusal[:_MOST_REASON], waiting=tuple(waiting))

    def _change(self, **values: object) -> None:
        self._server = RunningServer(**(asdict(self._server) | values))
        self._write()

    def _write(self) -> None:
        if self._descriptor is not None:
            text = json.dumps(asdict(self._server)).encode()
            with suppress(OSError):  # the server works without; the command then waits in vain, and says so
                os.pwrite(self._descriptor, text[:_RECORD_BYTES].ljust(_RECORD_BYTES), 0)


@contextmanager
def recorded(root: Path, server: RunningServer, told: Callable[[StorageFault], object]) -> Iterator[ServerRecord]:
    """Record this server in its data folder during the block.

    Args:
        root: the data folder.
        server: the server.
        told: called if the record cannot be made. The server works without.
    """
    file = root / "locks" / f"{_PREFIX}{secrets.token_hex(6)}"
    descriptor = None
    try:
        with storage_faults(f"record the server in {root}"):
            descriptor = _create(file)
    except StorageFault as error:
        told(error)
    try:
        yield ServerRecord(descriptor, server)
    finally:
        if descriptor is not None:
            with suppress(OSError):
                file.unlink()
            os.close(descriptor)


def running_servers(root: Path) -> dict[Path, RunningServer]:
    """Return the running servers on a data folder, by the files of their records.

    Raises:
        StorageFault: the records cannot be read.
    """
    found = {}
    with storage_faults(f"look for a server on {root}"):
        for file in sorted((root / "locks").glob(f"{_PREFIX}*")):
            with suppress(FileNotFoundError):  # the server has ended meanwhile
                server = find_server(file)
                if server is not None:
                    found[file] = server
    return found


def find_server(file: Path) -> RunningServer | None:
    """Return the server of a record; None if the server has ended. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        text = os.pread(descriptor, _RECORD_BYTES, 0)
    finally:
        os.close(descriptor)
    try:
        values = json.loads(text)
        lists = {key: tuple(values[key]) for key in ("addresses", "waiting")}
        return RunningServer(**(values | lists))
    except (ValueError, TypeError, KeyError):  # the server is just beginning, or is one of another version
        return None


def pid_namespace() -> str:
    """Return the kernel's name for the namespace of this process's id, which differs between containers."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a text, not a path
    except OSError:
        return ""


def _create(file: Path) -> int:
    private_files.make_folder(file.parent)
    for former in file.parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_if_dead(former)
    descriptor = private_files.open_file(file, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.posix_fallocate(descriptor, 0, _RECORD_BYTES)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            file.unlink()
        raise
    return descriptor


def _remove_if_dead(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # A server that is just beginning has a file without a lock for a moment, which is empty.
        if os.fstat(descriptor).st_size:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
    finally:
        os.close(descriptor)
