"""An OCI image layout, in one tar file or a folder, read like a registry (OCI image-spec, image-layout.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from mirror.authoring.files.layout_file import FULL_NAME, REF_NAME
from mirror.authoring.files.safe_files import FileSpan
from mirror.authoring.files.saved_files import SavedFiles, open_saved
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ConfigurationFault, DigestInvalid, ManifestInvalid, ManifestUnknown
from mirror.oci.manifest import MAX_MANIFEST_BYTES, parse_json_object
from mirror.oci.media_types import MANIFESTS, OCTET_STREAM
from mirror.registry.port import Blob, Page
from mirror.registry.streams import verify_chunks
from mirror.runtime.concurrency.threads import in_thread, stepped
from mirror.wire.pagination import PageRequest
from mirror.wire.ranges import RangeRequest, Span

_INDEX: Final = "index.json"


class LayoutReader:
    """A layout that is read. Implements :class:`mirror.registry.port.Reader`, and lists no referrers.

    Created by :meth:`open`.
    """

    def __init__(self, files: SavedFiles, members: list[Descriptor]) -> None:
        self._files = files
        self._members = members

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Path) -> AsyncIterator[LayoutReader]:
        """Open a layout.

        Raises:
            ConfigurationFault: the file or folder cannot be read, or is not a layout.
            ManifestInvalid: the index of the layout is invalid.
        """
        with ExitStack() as stack:
            files = await in_thread(open_saved, place, stack)
            yield cls(files, await in_thread(_members, files))

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        for member in self._members:
            if target == member.digest or (isinstance(target, Tag) and _is_called(member, repository, target)):
                return await in_thread(self._read, member)
        names = ", ".join(sorted(filter(None, map(_name, self._members)))) or "no named content"
        raise ManifestUnknown(
            f"{self._files.place} does not hold {repository}:{target} (names: {names})",
            name=repository,
            reference=target,
        )

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        return Descriptor(OCTET_STREAM, digest, (await in_thread(self._span, digest)).size_bytes)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        file = await in_thread(self._span, digest)
        span = Span(0, file.size_bytes) if part is None else part.resolve(file.size_bytes)
        yield _FileBlob(file, digest, span)

    async def list_repositories(self, page: PageRequest) -> Page[Repository]:
        """Return an empty page, because a layout has names and no repositories."""
        return Page((), more=False)

    async def list_tags(self, repository: Repository, page: PageRequest) -> Page[Tag]:
        """Return an empty page, because a layout has names and no repositories."""
        return Page((), more=False)

    async def list_referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
    ) -> Page[Descriptor]:
        """Return an empty page, because a layout lists no referrers."""
        return Page((), more=False)

    def _span(self, digest: Digest) -> FileSpan:
        name = f"blobs/{digest.algorithm}/{digest.hex}"
        if not self._files.has(name):
            raise BlobUnknown(f"{self._files.place} does not hold {digest}", digest=digest)
        return self._files.span(name)

    def _read(self, member: Descriptor) -> Manifest:
        try:
            return Manifest.parse(self._span(member.digest).read(MAX_MANIFEST_BYTES), member.media_type, member.digest)
        except DigestInvalid as error:
            raise ManifestInvalid(f"{self._files.place}: {error}") from error


class _FileBlob:
    """A blob in a layout. Its digest is verified if the whole blob is read."""

    file = None

    def __init__(self, file: FileSpan, digest: Digest, span: Span) -> None:
        self.size_bytes = file.size_bytes
        self.span = span
        self._file = file
        self._digest = digest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        whole = self._file
        part = FileSpan(whole.descriptor, whole.start_bytes + self.span.start, self.span.size_bytes, whole.name)
        chunks = stepped(part.chunks())
        # A digest covers the whole blob, so a part of it cannot be verified.
        if self.span.size_bytes == whole.size_bytes:
            chunks = verify_chunks(chunks, self._digest, whole.size_bytes, ConfigurationFault)
        async for chunk in chunks:
            yield chunk


def _members(files: SavedFiles) -> list[Descriptor]:
    if not files.has(_INDEX):
        raise ConfigurationFault(f"{files.place} is not an OCI image layout: it has no {_INDEX}")
    listed: Any = parse_json_object(files.span(_INDEX).read(MAX_MANIFEST_BYTES), _INDEX).get("manifests")
    if not isinstance(listed, list):
        raise ManifestInvalid(f"{files.place}: {_INDEX} has no list of manifests")
    found = [Descriptor.from_json(item, f"{_INDEX}: manifests[{number}]") for number, item in enumerate(listed)]
    return [member for member in found if member.media_type in MANIFESTS]


def _is_called(member: Descriptor, repository: Repository, tag: Tag) -> bool:
    """Return True if a member has a name.

    A member with a tag alone, as skopeo and oras write it, matches in every repository.
    """
    name = _name(member)
    return name in {f"{repository}:{tag}", tag.name}


def _name(member: Descriptor) -> str | None:
    return member.annotations.get(FULL_NAME) or member.annotations.get(REF_NAME)
