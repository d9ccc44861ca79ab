"""An OCI image layout in one tar file, written like a registry (OCI image-spec, image-layout.md).

The file appears complete at the end, or not at all. The same content gives the same file. ``oras cp --from-oci-layout
FILE:TAG`` and ``ctr image import`` can read the file.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any, Final

from mirror.authoring.files.safe_files import write_whole, writing
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.digest import new_hasher
from mirror.oci.errors import (
    BlobUnknown,
    DigestInvalid,
    ManifestUnknown,
    StorageFault,
    Unsupported,
    UploadInvalid,
    UploadUnknown,
)
from mirror.oci.media_types import OCTET_STREAM
from mirror.plugin.build.assembly import canonical_json
from mirror.registry.port import Blob
from mirror.registry.streams import single_chunk
from mirror.registry.upload import Upload, UploadBody
from mirror.runtime.concurrency.threads import in_thread
from mirror.wire.ranges import RangeRequest, Span

_BLOCK: Final = tarfile.BLOCKSIZE
#: Annotations of the members of an index: the tag (image-spec, annotations.md), and the full name of containerd.
REF_NAME: Final = "org.opencontainers.image.ref.name"
FULL_NAME: Final = "io.containerd.image.name"


class LayoutFile:
    """The part of a registry that a copy needs: it stores blobs and manifests, and answers which ones it has.

    One blob is written at a time, and none can be read. Created by :meth:`create`.

    Attributes:
        blobs: size in bytes of each blob in the file.
        current: the upload that may write. None if there is none.
    """

    def __init__(self, stream: IO[bytes], name: Path) -> None:
        self._stream = stream
        self._name = name
        self.blobs: dict[Digest, int] = {}
        self._index: list[dict[str, Any]] = []
        self._manifests: dict[Digest, Manifest] = {}
        self.current: LayoutUpload | None = None

    @classmethod
    @asynccontextmanager
    async def create(cls, file: Path) -> AsyncIterator[LayoutFile]:
        """Write a layout file, which replaces an existing file when the block ends.

        If the block raises, an existing file stays as it is, and no new file appears.

        Raises:
            StorageFault: the file cannot be written.
        """
        with _whole(file) as stream:
            layout = cls(stream, file)
            layout._add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            yield layout
            await in_thread(layout._finish)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        """Return the descriptor of a blob, see :class:`mirror.registry.port.Reader`."""
        if digest not in self.blobs:
            raise BlobUnknown(f"{self._name} does not hold {digest}", name=repository)
        return Descriptor(OCTET_STREAM, digest, self.blobs[digest])

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        """Return the descriptor of a manifest by its digest. Raise ManifestUnknown for every tag."""
        if not isinstance(target, Digest) or target not in self._manifests:
            raise ManifestUnknown(f"{self._name} does not hold {target}", name=repository)
        return self._manifests[target].descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """Return a manifest by its digest. Raise ManifestUnknown for every tag."""
        found = await self.resolve(repository, target)
        return self._manifests[found.digest]

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Refuse to read a blob.

        Raises:
            Unsupported: always.
        """
        raise Unsupported(f"{self._name} is being written and cannot be read")

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        """Refuse to resume an upload.

        Raises:
            UploadUnknown: always.
        """
        raise UploadUnknown(f"{self._name} has no unfinished uploads", upload=upload_id)

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        """Begin the upload of a blob.

        Raises:
            UploadInvalid: another blob is being written.
        """
        if self.current is not None:
            raise UploadInvalid(f"{self._name} accepts one blob at a time")
        self.current = LayoutUpload(self, self._stream, self._name)
        return self.current

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        """Return None, because there is no other repository to mount from."""
        return None

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """Store a manifest and its tags, see :class:`mirror.registry.port.Writer`."""
        upload = await self.begin_upload(repository)
        await upload.append(single_chunk(manifest.content))
        await upload.commit(manifest.digest)
        self._manifests[manifest.digest] = manifest
        # Sorted, so that the same content gives the same file.
        for tag in sorted(tags):
            names = {REF_NAME: str(tag), FULL_NAME: f"{repository}:{tag}"}
            self._index.append({**manifest.descriptor.to_json(), "annotations": names})
        return ()

    def _add(self, name: str, content: bytes) -> None:
        with writing(self._name):
            write_whole(self._stream, _header(name, len(content)) + content + bytes(-len(content) % _BLOCK))

    def _finish(self) -> None:
        index = {"schemaVersion": 2, "manifests": self._index}
        self._add("index.json", canonical_json(index, "index.json"))
        with writing(self._name):
            write_whole(self._stream, bytes(2 * _BLOCK))
            # Before the rename: after a power failure the name must not lead to a file without its content.
            os.fsync(self._stream.fileno())


class LayoutUpload:
    """A blob that is being written into a layout. Implements :class:`mirror.registry.port.Upload`."""

    id = "0"

    def __init__(self, layout: LayoutFile, stream: IO[bytes], name: Path) -> None:
        self.offset = 0
        self._layout = layout
        self._stream = stream
        self._name = name
        self._begun_at = stream.tell()
        self._hasher = new_hasher()
        with writing(name):
            write_whole(stream, bytes(_BLOCK))  # place for the header, which needs size and digest

    async def append(
        self, chunks: AsyncIterable[bytes], span: Span | None = None, size_bytes: int | None = None
    ) -> None:
        """Append content to the blob.

        Raises:
            UploadInvalid: ``span`` is given.
            UploadUnknown: the upload has ended.
            StorageFault: the file cannot be written.
        """
        self._require_open()
        if span is not None:
            raise UploadInvalid(f"{self._name} accepts content only in order")
        async for chunk in chunks:
            await in_thread(self._write, chunk)

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        """Complete the blob, with the last of its content if given.

        Raises:
            UploadInvalid: ``span`` is given.
            DigestInvalid: the content has another digest, or ``digest`` is not of sha256. The blob is dropped.
            UploadUnknown: the upload has ended.
            StorageFault: the file cannot be written.
        """
        if last is not None:
            await self.append(last.chunks, last.span, last.size_bytes)
        self._require_open()
        actual = Digest("sha256", self._hasher.hexdigest())
        if actual != digest:
            await self.cancel()
            raise DigestInvalid(f"content has digest {actual}, not {digest}", expected=digest, actual=actual)
        self._layout.current = None
        # A layout holds each blob once, also if a manifest names it twice.
        if digest in self._layout.blobs:
            self._forget()
        else:
            self._close(digest)
        return Descriptor(OCTET_STREAM, digest, self.offset)

    async def cancel(self) -> None:
        """Drop the blob, and truncate the file to its earlier size."""
        if self._layout.current is self:
            self._layout.current = None
            self._forget()

    def _write(self, chunk: bytes) -> None:
        with writing(self._name):
            write_whole(self._stream, chunk)
        self._hasher.update(chunk)
        self.offset += len(chunk)

    def _close(self, digest: Digest) -> None:
        with writing(self._name):
            write_whole(self._stream, bytes(-self.offset % _BLOCK))
            end = self._stream.tell()
            self._stream.seek(self._begun_at)
            write_whole(self._stream, _header(f"blobs/{digest.algorithm}/{digest.hex}", self.offset))
            self._stream.seek(end)
        self._layout.blobs[digest] = self.offset

    def _forget(self) -> None:
        with writing(self._name):
            self._stream.seek(self._begun_at)
            self._stream.truncate()

    def _require_open(self) -> None:
        if self._layout.current is not self:
            raise UploadUnknown("the upload has ended", upload=self.id)


@contextmanager
def _whole(file: Path) -> Iterator[IO[bytes]]:
    """Create a temporary file that gets the name of ``file`` if the block succeeds, and is removed otherwise."""
    with writing(file):
        # The target of a link is replaced, and the link stays.
        file = file.resolve()
    if file.exists() and not file.is_file():
        # A rename would replace a device such as /dev/null for all programs of the host.
        raise StorageFault(f"{file} cannot be written: it is not a regular file; fix: name a file that may be replaced")
    with writing(file):
        # In the same folder, hence on the same filesystem, so that the file can be renamed.
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            yield stream
        with writing(file):
            temporary.chmod(0o644)  # mkstemp allows only this user
            temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _header(name: str, size_bytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o644
    # A ustar header has 11 octal digits for the size, which is less than 8 GiB. GNU's form has no such limit.
    return info.tobuf(tarfile.USTAR_FORMAT if size_bytes < 8**11 else tarfile.GNU_FORMAT)
