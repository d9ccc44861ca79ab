"""The side of an air gap that imports bundles: a data folder, and a short way to import into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from mirror.app.bundles.bundle_importing import ImportRequest, dry_run_import, import_into_store
from mirror.bundle.importing.import_result import ImportResult
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import NotFound
from mirror.oci.name_mapping import NameMapping
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import Progress, SilentProgress
from tests.support.bundles import KEY, BuiltBundle, build, public_pem

SILENT: Final = SilentProgress()


class Site:
    """The importing side, which trusts the key :data:`tests.support.bundles.KEY`.

    Attributes:
        data: the data folder.
        settings: settings of the import. ``more`` adds to them.
    """

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.settings = Settings.model_validate({"storage": {"path": str(self.data)}, **more})
        self.key = folder / "sender.pub"
        self.key.write_bytes(public_pem(KEY))

    def bundle(
        self, names: Mapping[str, Manifest], contents: Iterable[bytes | Manifest], **options: Any
    ) -> tuple[Path, BuiltBundle]:
        """Write a bundle. ``options`` are those of :func:`tests.support.bundles.build`."""
        built = build(names, contents, **options)
        path = self.folder / f"{built.statement.stream}-{built.statement.serial}.tar"
        path.write_bytes(built.content)
        return path, built

    def request(self, path: Path, *maps: str, keys: Sequence[Path] | None = None, **options: Any) -> ImportRequest:
        """Return the request to import a file."""
        mappings = [NameMapping(*text.split("=")) for text in maps]
        public_keys = [self.key] if keys is None else keys
        return ImportRequest(path, public_keys=public_keys, mappings=mappings, **options)

    async def bring(self, path: Path, *maps: str, progress: Progress = SILENT, **options: Any) -> ImportResult:
        """Import a file."""
        return await import_into_store(self.settings, self.request(path, *maps, **options), progress)

    async def try_out(self, path: Path, *maps: str, **options: Any) -> ImportResult:
        """Return the result of a dry run."""
        return await dry_run_import(self.settings, self.request(path, *maps, **options))

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """Open the store."""
        async with Store.open(self.data) as store:
            yield store

    async def tags(self, *names: str) -> dict[str, Digest]:
        """Return the digests of those tags that exist, as ``NAME:TAG``. Their content must be complete."""
        async with self.store() as store:
            return {name: digest for name in names if (digest := await _digest(store, name)) is not None}


async def _digest(store: Store, name: str) -> Digest | None:
    repository, tag = name.split(":")
    try:
        manifest = await store.get_manifest(Repository(repository), Tag(tag))
    except NotFound:
        return None
    for blob in manifest.blobs:
        async with store.open_blob(Repository(repository), blob.digest) as opened:
            content = b"".join([chunk async for chunk in opened])
        assert Digest.of(content) == blob.digest
    return manifest.digest
