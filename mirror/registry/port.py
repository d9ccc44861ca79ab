"""The ``Registry`` interface, through which all parts of the mirror exchange content.

The local store, an upstream over HTTP and the in-memory model implement it. Filters for access control, admission and
metering wrap it, and so does pull-through. The HTTP server exposes it, and the copy engine moves content between two
registries. All methods are coroutines or async context managers, and may be called from many tasks at once. They raise
only errors of :mod:`mirror.oci.errors`.

Cancellation: a cancelled read leaves nothing behind. A cancelled write leaves at most an upload session, which expires.
Content is in the repository entirely or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import IO, Generic, Protocol, TypeVar, runtime_checkable

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import MirrorError
from mirror.registry.upload import Upload
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest, Span

Entry = TypeVar("Entry")


class Blob(Protocol):
    """An open blob, or a part of one. Iterate over it once, inside the ``async with`` that opened it.

    Attributes:
        size_bytes: size of the whole blob.
        span: the part yielded by the iteration.
        file: an open file holding the whole blob, for sendfile; None if the bytes are not in a file. The file is closed
            with the blob. Other readers may share it, so its position is undefined.
    """

    # Properties, not attributes: an implementation may store these values or compute them.
    @property
    def size_bytes(self) -> int: ...
    @property
    def span(self) -> Span: ...
    @property
    def file(self) -> IO[bytes] | None: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...


# A blob may also implement one of the next two protocols. Callers test for them with isinstance().
@runtime_checkable
class Growing(Protocol):
    """A blob still being downloaded, which can be sent from its file piece by piece.

    Attributes:
        growing_file: like ``Blob.file``, but holds only the bytes received so far.
    """

    @property
    def growing_file(self) -> IO[bytes]: ...

    async def available(self, position: int) -> int:
        """Wait until bytes after ``position`` may be sent, and return the offset of their end.

        Raises:
            MirrorError: the download failed, or the blob turned out to be wrong.
        """
        ...


@runtime_checkable
class Unverified(Protocol):
    """A blob that can be read in pieces without verification of its digest."""

    def unverified(self) -> AsyncIterator[bytes]:
        """Iterate over the span without verification. The caller must verify the whole blob."""
        ...

    async def wrong_content(self) -> MirrorError:
        """Return the error for a whole blob whose digest the caller found wrong. Its class names the party at fault."""
        ...


@dataclass(frozen=True, slots=True)
class Page(Generic[Entry]):
    """A part of a sorted list.

    Attributes:
        entries: the entries of the part.
        more: True if more entries follow.
        shortened: True if the list is longer than its bounds, so that entries are missing.
        is_partial: True if an upstream could not be asked, so that entries may be missing.
    """

    entries: tuple[Entry, ...]
    more: bool = False
    shortened: bool = False
    is_partial: bool = False


class Reader(Protocol):
    """Read access to manifests and blobs."""

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        """Return media type, digest and size of a manifest.

        Raises:
            ManifestUnknown: the repository has no such tag or manifest.
            RepositoryUnknown: the repository does not exist.
        """
        ...

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """Return a manifest with its bytes as pushed. Raises the errors of :meth:`resolve`."""
        ...

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        """Return digest and size of a blob, with the media type ``application/octet-stream``.

        Raises:
            BlobUnknown: the repository does not hold the blob.
        """
        ...

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a blob, or the requested part of it.

        Args:
            repository: the repository that holds the blob.
            digest: the blob.
            part: the part to read; None for the whole blob.
            size_bytes: size of the blob according to its manifest; None if the caller does not know it. A registry
                that knows the size of its blobs ignores this size. Some servers send blobs without their size.

        Raises:
            BlobUnknown: the repository does not hold the blob.
            RangeInvalid: no byte of ``part`` exists.
        """
        ...


class Writer(Protocol):
    """Write access to manifests and blobs."""

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        """Begin an upload session.

        Args:
            repository: the repository to receive the blob. A repository exists from its first blob or manifest on.
            client: the client whose limit of open sessions applies; None for sessions of our own, which have no limit.
            algorithm: algorithm of the digest passed to ``commit`` later, if known.

        Raises:
            TooManyRequests: the client, or all clients together, have reached their limit of open sessions.
        """
        ...

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        """Return an upload session begun earlier.

        Raises:
            UploadUnknown: the repository has no session with this id, or the session has expired.
        """
        ...

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        """Add a blob of another repository to this repository, without moving bytes.

        Args:
            repository: the repository to receive the blob.
            digest: the blob.
            source: the repository holding the blob; None to search all repositories the caller may read.

        Returns:
            The blob; None if it cannot be mounted.
        """
        ...

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """Store a manifest durably and move ``tags`` to it, in one step.

        Returns:
            Advice for the client that pushed, in sentences; usually empty.

        Raises:
            ManifestBlobUnknown: the repository lacks a blob or manifest named by the manifest.
            ManifestInvalid: the manifest violates a rule of the registry, although it can be parsed.
        """
        ...


class Deleter(Protocol):
    """Deletion of tags, manifests and blobs. Bytes no longer referenced are collected later."""

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """Delete a tag. Its manifest stays. Raises the errors of :meth:`Reader.resolve`."""
        ...

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        """Delete a manifest and the tags pointing to it. Raises the errors of :meth:`Reader.resolve`."""
        ...

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Delete a blob from this repository only.

        Raises:
            BlobUnknown: the repository does not hold the blob.
        """
        ...


class Lister(Protocol):
    """Lists of names and referrers, in ASCII order."""

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        """Return a page of the names of repositories that have a tag or a blob."""
        ...

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        """Return a page of a repository's tags.

        Raises:
            RepositoryUnknown: the repository does not exist.
        """
        ...

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        """Return a page of the repository's manifests whose subject is ``subject``, ordered by digest.

        ``page.last`` is a digest. Never raises RepositoryUnknown: an unknown repository has no referrers.
        """
        ...


# Combinations of the protocols above. A function asks for the smallest one it needs.
class ReadWriter(Reader, Writer, Protocol):
    """A registry used as the destination of a copy: its content is inspected and written."""


class ReadLister(Reader, Lister, Protocol):
    """A registry that is read and listed, but never changed."""


class ReadWriteDeleter(Reader, Writer, Deleter, Protocol):
    """A registry used as the destination of a copy with retention, which deletes tags."""


class Registry(Reader, Writer, Deleter, Lister, Protocol):
    """A complete registry."""

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        """Return what :meth:`stat_blob` returns, also for a blob that :meth:`open_blob` would fetch first."""
        ...
