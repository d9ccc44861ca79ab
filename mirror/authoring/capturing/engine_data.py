"""Plugins in the data root of a Docker Engine (moby: plugin/manager.go)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from mirror.authoring.files.safe_files import FileSpan, read_file
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ConfigurationFault, ManifestInvalid, ManifestUnknown, NotFound, RangeInvalid
from mirror.oci.media_types import OCTET_STREAM
from mirror.plugin.build.engine_record import PLUGIN_ID, EngineRecord
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.registry.port import Blob
from mirror.runtime.concurrency.threads import await_or_release, begin_in_thread, stepped
from mirror.wire.ranges import RangeRequest, Span

_LEAST_ID_DIGITS: Final = 4


class EngineData:
    """The data root of an engine, which may be running. All methods block.

    Args:
        root: path of the data root, such as ``/var/lib/docker``.
    """

    def __init__(self, root: Path) -> None:
        self._plugins = root / "plugins"

    def find(self, plugin: str) -> EngineRecord:
        """Return the plugin with a name, or with an id that begins with the text.

        Args:
            plugin: name, where ``:latest`` is the default tag, or at least 4 digits of an id.

        Raises:
            NotFound: no plugin matches, or several ids begin with the text.
            ConfigurationFault: the data root cannot be read.
        """
        records = list(self._records())
        name = plugin if ":" in plugin.rpartition("/")[2] else f"{plugin}:latest"
        found = [record for record in records if record.name == name]
        if not found and len(plugin) >= _LEAST_ID_DIGITS:
            found = [record for record in records if record.plugin_id.startswith(plugin)]
        if len(found) != 1:
            known = ", ".join(sorted(record.name for record in records)) or "none"
            raise NotFound(
                f"{self._plugins} has {len(found)} plugins that match {plugin!r} (plugins: {known}); "
                "fix: give the complete name or id of one plugin"
            )
        return found[0]

    def rootfs(self, record: EngineRecord) -> Path:
        """Return the folder with the files of a plugin."""
        return self._plugins / record.plugin_id / "rootfs"

    def blob(self, digest: Digest) -> Path:
        """Return the path of a blob, which need not exist."""
        return self._plugins / "storage" / "blobs" / digest.algorithm / digest.hex

    def _records(self) -> Iterator[EngineRecord]:
        try:
            folders = sorted(self._plugins.iterdir())
        except PermissionError as error:
            raise ConfigurationFault(
                f"{self._plugins} can only be read by root; fix: run this command as root"
            ) from error
        except OSError as error:
            raise ConfigurationFault(
                f"{self._plugins} cannot be read: {error.strerror}; fix: give the data root of the engine with "
                "--docker-root ('docker info' shows it)"
            ) from error
        for folder in folders:
            file = folder / "config.json"
            if PLUGIN_ID.fullmatch(folder.name) and file.is_file():
                try:
                    record = EngineRecord.parse(read_file(file, MAX_CONFIG_BYTES))
                except ManifestInvalid:
                    continue  # engines since 17.06 also skip a plugin whose record cannot be read
                # The record is not trusted to name a folder: the folder that holds it must have its id.
                if record.plugin_id == folder.name:
                    yield record


class EngineBlobs:
    """The blobs of an engine and one manifest that names them. Implements :class:`mirror.registry.port.Reader`.

    Args:
        data: the data root with the blobs.
        manifest: the only manifest.
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
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[Blob]:
        if part is not None:
            raise RangeInvalid("blobs of an engine are only read completely", digest=digest)
        try:
            # A file that is opened after the caller was cancelled is closed by the thread.
            stream = await await_or_release(
                begin_in_thread(self._data.blob(digest).open, "rb"), release=lambda opened: opened.close()
            )
        except OSError as error:
            raise BlobUnknown(f"the engine does not hold {digest}", name=repository) from error
        with stream:
            yield _EngineBlob(stream, str(digest))


class _EngineBlob:
    """A blob in an open file."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self.file = stream
        self.size_bytes = os.fstat(stream.fileno()).st_size
        self.span = Span(0, self.size_bytes)
        self._name = name

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in stepped(FileSpan(self.file.fileno(), 0, self.size_bytes, self._name).chunks()):
            yield chunk
