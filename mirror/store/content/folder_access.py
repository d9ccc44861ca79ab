"""Access of this process to the files of the data folder. All calls block.

Commands of root and of other users run beside the server. A file that they leave behind with another owner or mode
fails the server later, at a pull or at a deletion.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from mirror.oci.errors import StorageFault
from mirror.runtime.os_user import os_user_name
from mirror.store.content.data_layout import DataLayout

_ROOT: Final = 0
_LISTED, _FOLDER, _FILE = os.R_OK | os.X_OK, os.R_OK | os.W_OK | os.X_OK, os.R_OK | os.W_OK
#: Folders of blobs that a look at the newest blobs searches, and files in each of these folders.
_NEWEST_FOLDERS: Final = 4
_LOOKED_AT: Final = 100


def require_access(layout: DataLayout) -> None:
    """Check that this process may use the data folder, before it writes anything there.

    The owner and members of a group that shares the folder may. Root may, because it hands over what it creates to the
    owner of the folder. A folder that does not exist, or on a read-only disk, passes.

    Raises:
        StorageFault: this user cannot write everywhere in the folder, or files of root would be unreadable to the
            owner of the catalog. The message names the owner and the fix.
    """
    if not layout.root.is_dir():
        return
    if os.geteuid() == _ROOT:
        _require_owner(layout)
    else:
        _require(_files(layout), layout)


def require_readable(layout: DataLayout, more: Iterable[Path] = ()) -> None:
    """Check what :func:`require_access` checks, and that the newest blobs and uploads are accessible.

    Args:
        layout: the data folder.
        more: further blob files to check, such as those that could not be opened before.

    Raises:
        StorageFault: a file or folder is not accessible. The message names the file, its owner and the fix.
    """
    require_access(layout)
    _require(_uploads(layout), layout)
    for file in (*_newest_blobs(layout), *more):
        if not os.access(file, os.R_OK, effective_ids=True) and file.exists():
            raise _refusal(file, layout)


def can_write(root: Path) -> bool:
    """Return True if this user may change the data folder. Blocks.

    False on a read-only mount, for root too, and in a folder of another user.
    """
    layout = DataLayout(root)
    needed = (root, layout.uploads, root / "blobs", layout.catalog, layout.generation)
    return all(os.access(path, os.W_OK) or not os.access(path, os.F_OK) for path in needed)


def require_reading(layout: DataLayout) -> None:
    """Check that this process may read the folders of the data folder and its catalog.

    Raises:
        StorageFault: one of them is not readable. The message names its owner and the fix.
    """
    # The folder comes first: nobody can tell what is in a folder that is closed to them.
    for path, wanted in ((layout.root, _LISTED), (layout.root / "blobs", _LISTED), (layout.catalog, os.R_OK)):
        if not os.access(path, wanted, effective_ids=True) and path.exists():
            raise _refusal(path, layout, "read it")


def _require(paths: Iterable[Path], layout: DataLayout) -> None:
    if os.statvfs(layout.root).f_flag & os.ST_RDONLY:
        return
    for path in paths:
        with suppress(FileNotFoundError):  # another process has removed the file since
            if not os.access(path, _FOLDER if path.is_dir() else _FILE, effective_ids=True):
                path.stat()
                raise _refusal(path, layout)


def _files(layout: DataLayout) -> Iterator[Path]:
    """Yield everything that the store always uses: its folders, parents first, and the files beside them."""
    yield layout.root
    yield from (folder for folder in layout.folders() if folder.exists())
    names = (layout.generation, layout.token_key, *layout.root.glob(f"{layout.catalog.name}*"))
    yield from (file for file in names if file.exists())
    for folder in (layout.root / "locks", layout.root / "limits"):
        if folder.exists():
            yield folder
            yield from folder.iterdir()


def _uploads(layout: DataLayout) -> Iterator[Path]:
    for upload in islice(layout.uploads.iterdir(), _LOOKED_AT):
        yield upload
        with suppress(FileNotFoundError, NotADirectoryError):  # the upload has ended, or this is a plain file
            yield from upload.iterdir()


def _newest_blobs(layout: DataLayout) -> Iterator[Path]:
    folders = sorted(layout.root.glob("blobs/*/*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[:_NEWEST_FOLDERS]:
        yield from islice(folder.iterdir(), _LOOKED_AT)


def _require_owner(layout: DataLayout) -> None:
    """Raise StorageFault if root does not know to whom new files belong."""
    folder = layout.root.stat()
    try:
        catalog = layout.catalog.stat()
    except FileNotFoundError:
        return
    # The owner of the catalog works in the folder of another user, and is therefore in its group. In a folder that
    # everybody may write to, only an equal group shows this.
    is_shared = folder.st_mode & stat.S_IWGRP and (folder.st_gid == catalog.st_gid or not folder.st_mode & stat.S_IWOTH)
    if catalog.st_uid not in {_ROOT, folder.st_uid} and not is_shared:
        owner = os_user_name(catalog.st_uid)
        raise StorageFault(
            f"{layout.root} belongs to {os_user_name(folder.st_uid)} and its catalog to {owner}, so files that root "
            f"creates would be unreadable to {owner}; fix: chown {owner} {layout.root}, or run as {owner}: "
            f"sudo -u {owner} plugin-mirror …"
        )


def _refusal(path: Path, layout: DataLayout, deed: str = "read and write there") -> StorageFault:
    me, owner = os_user_name(os.geteuid()), _owner(path)
    denied = f"{me} may not {deed}" if owner != me else f"its mode does not let {me} {deed}"
    if layout.root.stat().st_uid == os.geteuid():
        # The folder is this user's own. Somebody else has left the file behind.
        fix = f"as root: chown -R {me} {layout.root}" if owner != me else f"chmod -R u+rwX {layout.root}"
    else:
        fix = (
            f"run as its owner: sudo -u {_owner(layout.root)} plugin-mirror … (if {me} serves this folder, as root: "
            f"chown -R {me} {layout.root})"
        )
    return StorageFault(f"{path} belongs to {owner}, and {denied}; fix: {fix}", path=str(path), owner=owner)


def _owner(path: Path) -> str:
    try:
        return os_user_name(path.stat().st_uid)
    except PermissionError:  # in a folder of another user
        return _owner(path.parent)
