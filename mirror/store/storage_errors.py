"""Translates errors of the disk and the database into errors of this program."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from mirror.oci.errors import CatalogFault, ClientFault, StorageFault, StorageFull, TooManyOpenFiles
from mirror.runtime.system_errors import how_to_fix

_NO_PERMISSION: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
#: SQLite's error codes for a full disk: for a write, and for growing its shared memory file.
_SQLITE_NO_SPACE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
#: Primary error codes of SQLite whose cause is found by using the file.
_SQLITE_UNUSABLE: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
#: Primary error codes of SQLite for a file whose bytes are wrong.
_SQLITE_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PROBE_BYTES: Final = 4096
#: Primary error codes of SQLite in our words.
_SQLITE_WORDS: Final = {
    sqlite3.SQLITE_CORRUPT: "its bytes are damaged",
    sqlite3.SQLITE_NOTADB: "it is not a database",
    sqlite3.SQLITE_BUSY: "it is locked by another process",
    sqlite3.SQLITE_LOCKED: "it is locked by another process",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_PERM: "it cannot be written",
    sqlite3.SQLITE_NOMEM: "the memory is full",
    sqlite3.SQLITE_ERROR: "it lacks tables or columns of this version",
}


@contextmanager
def storage_faults(doing: str, catalog: Path | None = None, *, otherwise: str = "") -> Iterator[None]:
    """Translate the errors of disk and database that the block raises.

    Nothing else may run inside: an OSError of a client's connection is not an error of the store.

    Args:
        doing: the action for the error message, such as ``"write an upload"``.
        catalog: the file of the database, if the block uses it.
        otherwise: what else a user can do who may not write, for the error message.

    Raises:
        StorageFull: the disk or the quota has no space or no inode left.
        TooManyOpenFiles: the process or the system has no file descriptor left.
        CatalogFault: the database failed for another reason.
        StorageFault: the disk failed for another reason.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, *_database_errors())):
            raise
        fault = fault_of(error, doing, catalog)
        if otherwise and isinstance(error, OSError) and error.errno in _NO_PERMISSION:
            fault = StorageFault(f"{fault}, or {otherwise}")
        raise fault from error


def fault_of(error: BaseException, doing: str, catalog: Path | None = None) -> BaseException:
    """Translate an error as :func:`storage_faults` does. Return an error of another kind unchanged."""
    match error:
        case OSError():
            fault = _of_disk(error, doing)
        case _ if isinstance(error, _database_errors()):
            fault = _of_database(error, doing, catalog)
        case UnicodeEncodeError():  # of an argument of a command, or of an escape in JSON
            return ClientFault("the text holds bytes that are not UTF-8; fix: write it with other characters")
        case _:
            return error
    fault.__cause__ = error
    return fault


def database_words(error: object) -> str:
    """Return the reason of an error of SQLite or SQLAlchemy, without their words. The traceback has those."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE_WORDS.get(code & 0xFF) or f"SQLite failed ({getattr(error, 'sqlite_errorname', code)})"
    # The module of SQLite itself finds some errors, such as a closed connection, and gives them no code.
    return f"the database library failed ({type(error).__name__})"


def _database_errors() -> tuple[type[Exception], ...]:
    # SQLAlchemy takes long to import, and only a process that has imported it can meet its errors.
    imported: Any = sys.modules.get("sqlalchemy.exc")
    return (sqlite3.Error,) if imported is None else (sqlite3.Error, imported.SQLAlchemyError)


def _of_disk(error: OSError, doing: str) -> StorageFault:
    file = error.filename if isinstance(error.filename, (str, os.PathLike)) else None
    what = f"cannot {doing}: {error.strerror or error}"
    named = what if file is None else f"{what}: {os.fspath(file)}"
    if error.errno in StorageFull.ERRNOS:
        if file is not None and _lacks_inodes(Path(file)):
            message = f"{named} (no inode is left); fix: delete files on this disk and repeat the request"
            return StorageFull(message, path=os.fspath(file))
        return StorageFull(f"{what}; fix: {how_to_fix(error, file)}")
    if error.errno in TooManyOpenFiles.ERRNOS:
        return TooManyOpenFiles.while_doing(doing)
    detail = {"errno": errno.errorcode.get(error.errno or 0, "unknown")}
    if file is not None:
        detail["path"] = os.fspath(file)
    return StorageFault(f"{named}; fix: {how_to_fix(error, file)}", **detail)


def _lacks_inodes(file: Path) -> bool:
    with suppress(OSError):
        found = os.statvfs(file.parent)
        return found.f_files > 0 and found.f_favail == 0
    return False


def _of_database(error: BaseException, doing: str, catalog: Path | None) -> StorageFault:
    cause: object = error
    if not isinstance(error, sqlite3.Error):
        from sqlalchemy.exc import DBAPIError

        cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code in _SQLITE_NO_SPACE:
        place = "" if catalog is None else f" of {catalog.parent}"
        return StorageFull(f"cannot {doing}: the disk is full; fix: free some space on the disk{place}, and repeat")
    name = getattr(cause, "sqlite_errorname", "unknown")
    if catalog is None:
        return CatalogFault(f"cannot {doing}: {database_words(cause)}", code=name)
    # SQLite tells only that it cannot use the file. The system tells the reason.
    if code is not None and code & 0xFF in _SQLITE_UNUSABLE and (found := _why_unusable(catalog)) is not None:
        return _of_disk(found, doing)
    if code == sqlite3.SQLITE_BUSY:
        return CatalogFault(
            f"cannot {doing}: another process keeps {catalog} locked; fix: end that process",
            code=name,
            path=str(catalog),
        )
    fix = f"look at the disk of {catalog.parent} (dmesg)"
    if code is not None and code & 0xFF in _SQLITE_DAMAGED:
        fix = "restore a backup, or stop the server and run 'plugin-mirror recover'"
    told = f"cannot {doing}: {database_words(cause)} ({catalog}); fix: {fix}"
    return CatalogFault(told, code=name, path=str(catalog))


def _why_unusable(catalog: Path) -> OSError | None:
    """Use the file, and its folder, as SQLite does. Return the error of the system; None if there is none (now)."""
    import tempfile

    try:
        os.close(os.open(catalog, os.O_RDWR | os.O_CLOEXEC))
        # SQLite creates its -wal and -shm beside the file.
        descriptor, probe = tempfile.mkstemp(prefix=f"{catalog.name}-probe-", dir=catalog.parent)
        try:
            os.write(descriptor, bytes(_PROBE_BYTES))
        finally:
            os.close(descriptor)
            os.unlink(probe)  # noqa: PTH108
    except OSError as error:
        return error
    return None
