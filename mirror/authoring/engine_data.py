"""What a Docker Engine keeps of the plugins it has installed, read from its data root (moby: plugin/manager.go)."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from mirror.authoring.files.safe_files import FileSpan, read_file
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ConfigurationFault, ManifestInvalid, ManifestUnknown, NotFound, RangeInvalid
from mirror.oci.media_types import OCTET_STREAM
from mirror.plugin.build.engine_record import EngineRecord
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.registry.port import Blob
from mirror.runtime.concurrency.threads import await_or_release, begin_in_thread, stepped
from mirror.wire.ranges import RangeRequest, Span

_PLUGIN_ID: Final = re.compile(r"[0-9a-f]{64}")
_LEAST_ID_DIGITS: Final = 4


class EngineData:
    """The data root of an engine, running or not. All calls block.

    Args:
        root: such as ``/var/lib/docker``.
    """

    def __init__(self, root: Path) -> None:
        self._plugins = root / "plugins"

    def find(self, plugin: str) -> EngineRecord:
        """The plugin of that name, or whose id begins so.

        Raises:
            NotFound: there is none, or ids of several begin so.
            ConfigurationFault: the data root cannot be read.
        """
        records = list(self._records())
        name = plugin if ":" in plugin.rpartition("/")[2] else f"{plugin}:latest"
        found = [record for record in records if record.name == name]
        if not found and len(plugin) >= _LEAST_ID_DIGITS:
            found = [record for record in records if record.plugin_id.startswith(plugin)]
        if len(found) != 1:
            known = ", ".join(sorted(record.name for record in records)) or "none"
            raise NotFound(f"{self._plugins} holds {len(found)} plugins {plugin!r} (it has: {known})")
        return found[0]

    def rootfs(self, record: EngineRecord) -> Path:
        """The plugin's files."""
        return self._plugins / record.plugin_id / "rootfs"

    def blob(self, digest: Digest) -> Path:
        """Where a blob is, if it is here."""
        return self._plugins / "storage" / "blobs" / digest.algorithm / digest.hex

    def _records(self) -> Iterator[EngineRecord]:
        try:
            folders = sorted(self._plugins.iterdir())
        except PermissionError as error:
            raise ConfigurationFault(f"{self._plugins} is for root alone: run this as root") from error
        except OSError as error:
            raise ConfigurationFault(
                f"{self._plugins} cannot be read: {error.strerror}; name the engine's data root with --docker-root "
                "('docker info' shows it)"
            ) from error
        for folder in folders:
            file = folder / "config.json"
            if _PLUGIN_ID.fullmatch(folder.name) and file.is_file():
                try:
                    record = EngineRecord.parse(read_file(file, MAX_CONFIG_BYTES))
                except ManifestInvalid:
                    continue  # engines since 17.06 go on without it as well
                if record.plugin_id == folder.name:
                    yield record


class EngineBlobs:
    """Blobs of an engine, and one manifest of them. Implements :class:`mirror.registry.port.Reader`.

    Args:
        data: where they are.
        manifest: what is read.
    """

    def __init__(self, data: EngineData, manifest: Manifest) -> None:
        self._data = data
        self._manifest = manifest

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        if target != self._manifest.digest:
            raise ManifestUnknown(f"the engine's plugin is {self._manifest.digest}, not {target}", name=repository)
        return self._manifest

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        async with self.open_blob(repository, digest) as blob:
            return Descriptor(OCTET_STREAM, digest, blob.size_bytes)

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None
    ) -> AsyncIterator[Blob]:
        if part is not None:
            raise RangeInvalid("blobs of an engine are read whole", digest=digest)
        try:
            stream = await await_or_release(
                begin_in_thread(self._data.blob(digest).open, "rb"), release=lambda opened: opened.close()
            )
        except OSError as error:
            raise BlobUnknown(f"the engine does not hold {digest}", name=repository) from error
        with stream:
            yield _EngineBlob(stream, str(digest))


class _EngineBlob:
    """A blob in a file."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self.file = stream
        self.size_bytes = os.fstat(stream.fileno()).st_size
        self.span = Span(0, self.size_bytes)
        self._name = name

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in stepped(FileSpan(self.file.fileno(), 0, self.size_bytes, self._name).chunks()):
            yield chunk
