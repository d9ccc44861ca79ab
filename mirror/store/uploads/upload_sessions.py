"""The upload sessions on the disk: creation, look-up and expiry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from mirror.oci import Repository
from mirror.oci.errors import StorageDamaged, UploadInvalid, UploadUnknown
from mirror.runtime.clock import Clock
from mirror.runtime.clock_jumps import ClockJumps
from mirror.store.content.data_layout import DataLayout, UploadLayout, is_upload_id
from mirror.store.content.disk_room import DiskRoom
from mirror.store.content.filesystem import Filesystem
from mirror.store.storage_threads import in_thread
from mirror.store.uploads.adoption import Adoption
from mirror.store.uploads.download_leases import DownloadLeases, StoreDownloadLease
from mirror.store.uploads.rehashing import Rehashing
from mirror.store.uploads.running_hashes import RunningHashes
from mirror.store.uploads.session_file import UploadSessionFile
from mirror.store.uploads.session_limits import SessionLimits, new_id, require_room
from mirror.store.uploads.upload_session import StoreUpload, UploadParts
from mirror.store.uploads.upload_writer import PieceSizes, UploadWriter, remove_upload

#: Uploads that one step of the expiry looks at.
_STEP: Final = 100


class UploadSessions:
    """All upload sessions of a data folder.

    Args:
        layout: the data folder.
        filesystem: changes the files.
        room: space on the disk.
        clock: the time of day, for the start and the expiry of sessions.
        adoption: stores finished uploads.
        max_blob_bytes: largest blob accepted; None for no limit.
        limits: limits on the number of open sessions.

    Attributes:
        expired: number of uploads and leftover files that this process has removed.
        downloads: the downloads from upstreams.
    """

    def __init__(
        self,
        layout: DataLayout,
        *,
        filesystem: Filesystem,
        room: DiskRoom,
        clock: Clock,
        adoption: Adoption,
        max_blob_bytes: int | None,
        limits: SessionLimits,
    ) -> None:
        self.expired = 0
        self.limits = limits
        self._layout = layout
        self._filesystem = filesystem
        self._clock = clock
        self._jumps = ClockJumps(clock)
        self._parts = UploadParts(
            filesystem, room, clock, adoption, RunningHashes(), Rehashing(), PieceSizes(), max_blob_bytes
        )
        self.downloads = DownloadLeases(layout, self._parts)

    def downloads_by(self, lease: type[StoreDownloadLease]) -> DownloadLeases:
        """Return downloads with leases of another class."""
        return DownloadLeases(self._layout, self._parts, lease)

    async def begin(self, repository: Repository, client: str | None = None, algorithm: str = "sha256") -> StoreUpload:
        """Begin an upload session.

        Args:
            repository: the repository that gets the blob.
            client: the client that the session counts for; None for a session of the server itself, which has no limit.
            algorithm: the expected algorithm of the digest.

        Raises:
            TooManyRequests: the client, or all clients together, have too many open sessions.
            StorageFull: the disk has no space for any content.
        """
        self._parts.room.require()
        session = UploadSessionFile(repository, self._clock.now())
        upload_id = await in_thread("begin an upload", self._create_for, client, session)
        return StoreUpload(self._parts, self._layout.upload(upload_id), session, 0, algorithm)

    async def resume(self, repository: Repository, upload_id: str) -> StoreUpload:
        """Return an open upload session. Raises UploadUnknown if the repository has no such session."""
        if is_upload_id(upload_id):
            upload = self._layout.upload(upload_id)
            found = await in_thread("find an upload", _look, upload)
            if found is not None and found[0].repository == repository:
                return StoreUpload(self._parts, upload, *found)
        raise UploadUnknown(f"{repository} has no upload {upload_id[:160]}", name=repository, upload=upload_id[:160])

    async def expire(self, older_than: timedelta, empty_older_than: timedelta | None = None) -> int:
        """Remove uploads and leftover files that nobody has written to for some time. An upload in use is kept.

        The work is done in short steps. Other work of the threads has its turn between two steps, and a cancellation
        takes effect there. After a jump of the clock, or with a time in the future, the time since the last write is
        unknown and counted from the jump.

        Args:
            older_than: time since the last write.
            empty_older_than: the same for uploads that hold no bytes, at most ``older_than``; None: ``older_than``.

        Returns:
            The number of uploads and leftover files removed.
        """
        now = self._clock.now()
        empty_age = older_than if empty_older_than is None else min(empty_older_than, older_than)
        age = _Ages(now - older_than, now - empty_age, self._jumps)
        names = await in_thread("remove old uploads", self._names)
        expired = 0
        for start in range(0, len(names), _STEP):
            removed = await in_thread("remove old uploads", self._expire, names[start : start + _STEP], age)
            self.expired += removed
            expired += removed
        return expired

    async def repositories(self) -> frozenset[str]:
        """Return the names of the repositories with an open upload session of a client."""
        return await uploading_repositories(self._layout)

    def _names(self) -> list[str]:
        return os.listdir(self._layout.uploads)  # noqa: PTH208 - no Path object for each of many names

    def _create_for(self, client: str | None, session: UploadSessionFile) -> str:
        if client is None:
            upload_id = str(uuid4())
        else:
            # Listing and creating are not one atomic step: clients that begin at the same moment may exceed a limit by
            # as many as begin at once, no more.
            require_room(self.limits, client, self._names())
            upload_id = new_id(client)
        self._create(upload_id, session)
        return upload_id

    def _create(self, upload_id: str, session: UploadSessionFile) -> None:
        upload = self._layout.upload(upload_id)
        try:
            # The session file comes last: an upload exists once it has one.
            self._filesystem.make_folder(upload.folder)
            os.close(self._filesystem.create(upload.data))
            self._filesystem.create_file(upload.session, session.build())
        except BaseException:
            remove_upload(upload, self._filesystem)
            raise

    def _expire(self, names: Sequence[str], age: _Ages) -> int:
        expired = 0
        for name in names:
            upload = UploadLayout(self._layout.uploads / name)
            if age.is_over(upload):
                expired += self._remove(upload)
        return expired

    def _remove(self, upload: UploadLayout) -> bool:
        if not upload.folder.is_dir():
            self._filesystem.remove(upload.folder)
            return True
        try:
            receiving = UploadWriter(upload, self._filesystem)
        except UploadInvalid:
            return False  # a request is writing to the upload
        except UploadUnknown:
            remove_upload(upload, self._filesystem)  # a crash left an incomplete folder
        else:
            try:
                remove_upload(upload, self._filesystem)
            finally:
                receiving.close()
        return True


async def uploading_repositories(layout: DataLayout) -> frozenset[str]:
    """Return the names of the repositories with an open upload session. Raises StorageFault."""
    return await in_thread("list uploads", _uploading_repositories, layout)


def _uploading_repositories(layout: DataLayout) -> frozenset[str]:
    names = os.listdir(layout.uploads)  # noqa: PTH208 - no Path object for each of many names
    found = (_look(layout.upload(name)) for name in names if is_upload_id(name))
    return frozenset(one[0].repository.name for one in found if one is not None)


def _look(upload: UploadLayout) -> tuple[UploadSessionFile, int] | None:
    """Return the session file and the size of an upload. None if either is missing or damaged, as after a crash."""
    try:
        return UploadSessionFile.parse(upload.session.read_bytes()), upload.data.stat().st_size
    except (FileNotFoundError, StorageDamaged):
        return None


@dataclass(frozen=True, slots=True)
class _Ages:
    """Points in time that decide about expiry.

    An upload last written to before ``written`` expires. An empty one expires if it was last written to before
    ``empty``.
    """

    written: datetime
    empty: datetime
    jumps: ClockJumps

    def is_over(self, upload: UploadLayout) -> bool:
        with suppress(FileNotFoundError, NotADirectoryError):
            # The time of the last write is that of the data file: the session file never changes.
            found = upload.data.stat()
            return self._is_before(found, self.written if found.st_size else self.empty)
        with suppress(FileNotFoundError):  # the upload has ended since
            return self._is_before(upload.folder.stat(), self.written)
        return False

    def _is_before(self, found: os.stat_result, limit: datetime) -> bool:
        return self.jumps.trusted(datetime.fromtimestamp(found.st_mtime, UTC)) < limit
