"""``Registry``: the one interface between everything here.

Our store, an upstream over HTTP and the in-memory fake implement it; access control, metering and pull-through wrap
it; the HTTP server exposes it; the transfer engine copies between two of them. All methods are coroutines or async
context managers, safe to call from many tasks at once. All raise errors of :mod:`mirror.oci.errors` only.

Cancellation: a cancelled read leaves nothing. A cancelled write leaves at most an upload session that expires;
content is in the repository entirely or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import IO, Generic, Protocol, TypeVar, runtime_checkable

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest, Span

Entry = TypeVar("Entry")


class Blob(Protocol):
    """An open blob, or a part of one. Iterate it once, inside the ``async with`` that opened it.

    Attributes:
        size_bytes: size of the whole blob.
        span: the part that iteration gives.
        file: an open file that holds the whole blob, for sendfile, closed with the blob and nobody else's: its
            position means nothing. None where the bytes come from elsewhere.
    """

    @property
    def size_bytes(self) -> int: ...
    @property
    def span(self) -> Span: ...
    @property
    def file(self) -> IO[bytes] | None: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...


@runtime_checkable
class Growing(Protocol):
    """A blob that is still being downloaded: it can be sent from its file, bit by bit.

    Attributes:
        growing_file: as ``Blob.file``, but it holds no more than what has come.
    """

    @property
    def growing_file(self) -> IO[bytes]: ...

    async def available(self, position: int) -> int:
        """Wait until the file holds something from ``position`` on that may be given away; gives where that ends.

        Raises:
            MirrorError: it will not come, or the blob turned out to be wrong.
        """
        ...


@runtime_checkable
class Unverified(Protocol):
    """A blob that can be read piece by piece, without a comparison of its digest."""

    def unverified(self) -> AsyncIterator[bytes]:
        """Iterate the span, for a caller that verifies the whole."""
        ...


class Upload(Protocol):
    """A blob being written. It outlives this object and the process: ``Writer.resume_upload`` finds it by ``id``.

    Attributes:
        id: its name within the repository, fit for a URL.
        offset: bytes held.
    """

    @property
    def id(self) -> str: ...
    @property
    def offset(self) -> int: ...

    async def append(self, chunks: AsyncIterable[bytes], span: Span | None = None) -> None:
        """Add bytes to the end.

        Args:
            chunks: the bytes, in pieces of any size.
            span: where the client says they belong. None: wherever the end is.

        Raises:
            RangeInvalid: ``span`` does not begin at ``offset``, or ``chunks`` has another length than ``span``;
                the upload is as it was.
            UploadInvalid: another request is writing to it.
            UploadUnknown: it has been committed, cancelled, or has expired.
            ContentTooLarge, StorageFull: over a limit, or no space; the upload is as it was.

        Where ``chunks`` raises or the caller is cancelled, whole pieces already received are kept. A generator given
        as ``chunks`` is closed at the end.
        """
        ...

    async def commit(self, digest: Digest) -> Descriptor:
        """Make the bytes a blob of the repository, durably, and end the upload.

        Raises:
            DigestInvalid: the bytes have another digest; the upload is gone.
            UploadInvalid: another request is writing to it. UploadUnknown: as for :meth:`append`.
            StorageFull: no space; the upload is as it was.
            StorageFault: the disk failed; the upload may be gone.
        """
        ...

    async def cancel(self) -> None:
        """End the upload and drop its bytes; one that has ended is left alone.

        Raises:
            UploadInvalid: another request is writing to it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Page(Generic[Entry]):
    """Part of a sorted list.

    Attributes:
        entries: what the part holds.
        more: whether anything follows it.
    """

    entries: tuple[Entry, ...]
    more: bool = False


class Reader(Protocol):
    """Reads manifests and blobs."""

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        """Type, digest and size of a manifest.

        Raises:
            ManifestUnknown: no such tag or manifest. RepositoryUnknown: nor such a repository.
        """
        ...

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """A manifest, its bytes as they were pushed. Raises as :meth:`resolve`."""
        ...

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        """Digest and size of a blob; its type is ``application/octet-stream``.

        Raises:
            BlobUnknown: the repository does not hold it.
        """
        ...

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a blob, or the part of it that is asked for.

        Raises:
            BlobUnknown: the repository does not hold it.
            RangeInvalid: none of ``part`` exists.
        """
        ...


class Writer(Protocol):
    """Writes manifests and blobs."""

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        """Begin a blob.

        Args:
            repository: where it goes; it comes into being with its first blob or manifest.
            client: whom the upload is counted for, where so many at a time are open for one client at most; None: it
                is ours, and is not counted.
            algorithm: of the digest that it will be committed with, where that is known.

        Raises:
            TooManyRequests: the client, or all clients together, have as many uploads open as they may.
        """
        ...

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        """An upload begun earlier.

        Raises:
            UploadUnknown: there is none of that id in that repository, or it has expired.
        """
        ...

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        """Take over a blob from another repository without moving bytes.

        Args:
            repository: where it is wanted.
            digest: the blob.
            source: the repository that holds it; None: any that the caller may read.

        Returns:
            The blob, or None where it cannot be had that way.
        """
        ...

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """Store a manifest durably and move ``tags`` to it, all at once.

        Returns:
            Advice for whoever pushed, in sentences; usually none.

        Raises:
            ManifestBlobUnknown: a blob or manifest that it names is not in the repository.
            ManifestInvalid: the registry asks more of it than that it can be read.
        """
        ...


class Deleter(Protocol):
    """Removes tags, manifests and blobs. Bytes that nothing needs any more are collected later."""

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """Remove a tag; its manifest stays. Raises as :meth:`Reader.resolve`."""
        ...

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        """Remove a manifest and the tags that point to it. Raises as :meth:`Reader.resolve`."""
        ...

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Remove a blob from this repository; other repositories keep theirs. Raises BlobUnknown."""
        ...


class Lister(Protocol):
    """Lists names and referrers, in ASCII order."""

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        """Names of repositories."""
        ...

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        """Tags of a repository. Raises RepositoryUnknown."""
        ...

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        """Manifests of the repository whose subject is ``subject``, ordered by digest; ``page.last`` is a digest.

        Never raises RepositoryUnknown: what does not exist has no referrers.
        """
        ...


class ReadWriter(Reader, Writer, Protocol):
    """A registry that content is copied to: it tells what it holds, and is written to."""


class ReadLister(Reader, Lister, Protocol):
    """A registry that is read and listed, and never changed."""


class ReadWriteDeleter(Reader, Writer, Deleter, Protocol):
    """A registry that content is copied to, and deleted from by retention."""


class Registry(Reader, Writer, Deleter, Lister, Protocol):
    """A whole registry."""
