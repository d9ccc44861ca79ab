"""Manifests whose names are not known: found among the blobs, and put into a repository of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, exists, func, or_, select

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import ClientFault, ManifestBlobUnknown, StorageFault
from mirror.oci.manifest import MAX_MANIFEST_BYTES, parse_json_object
from mirror.oci.media_types import OCI_INDEX, OCI_MANIFEST, is_manifest
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.store.catalog import rows
from mirror.store.catalog.manifest_rows import hold_manifest, referrer_columns, remove_manifest
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    absent_content,
    blobs,
    manifest_children,
    manifests,
    repositories,
    repository_blobs,
)
from mirror.store.catalog.tables.content_tables import tags as tags_table
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.storage_threads import in_thread
from mirror.store.store_services import StoreServices

_SCHEMA: Final = 2
#: Characters of the digest that become a tag.
_TAG_LENGTH: Final = 12
_CHILD = manifest_children.c
_SIZE: Final = select(blobs.c.size_bytes).where(blobs.c.digest == bindparam("digest"))
_COUNTS: Final = select(
    select(func.count()).select_from(repositories).scalar_subquery(),
    select(func.count()).select_from(tags_table).scalar_subquery(),
)


def _lacks(held: Any, kind: ChildKind) -> Any:
    return and_(
        _CHILD.kind == kind.value,
        ~exists().where(held.c.repository_id == repositories.c.id, held.c.digest == _CHILD.child),
    )


#: Manifests that may lack content: a layer with ``urls`` may be absent.
_SUSPECTS: Final = (
    select(repositories.c.name, manifests.c.digest, manifests.c.media_type, blobs.c.size_bytes)
    .join(manifests, manifests.c.repository_id == repositories.c.id)
    .join(blobs, blobs.c.digest == manifests.c.digest)
    .join(_CHILD.child.table, and_(_CHILD.repository == repositories.c.name, _CHILD.manifest == manifests.c.digest))
    .where(
        _CHILD.child != "",
        or_(_lacks(repository_blobs, ChildKind.BLOB), _lacks(manifests.alias(), ChildKind.MEMBER)),
        ~exists().where(
            absent_content.c.repository == _CHILD.repository,
            absent_content.c.manifest == _CHILD.manifest,
            absent_content.c.digest == _CHILD.child,
        ),
    )
    .distinct()
)


@dataclass(slots=True)
class FoundManifests:
    """Manifests that a recovery found.

    Attributes:
        recovered: tags that stand for the digests of manifests whose names are not known.
        incomplete: manifests that lack content, with a digest of that content.
        broken: manifests of known names that lack content, as ``NAME@DIGEST``.
    """

    recovered: list[str] = field(default_factory=list)
    incomplete: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


class ManifestRecovery:
    """Completes a rebuilt catalog from the bytes of manifests.

    Args:
        services: the services of the store that has the rebuilt catalog.
        repository: the repository for manifests whose names are not known.
    """

    def __init__(self, services: StoreServices, repository: Repository) -> None:
        self.found = FoundManifests()
        self._services = services
        self._repository = repository
        self._unknown: dict[Digest, int] = {}

    async def counts(self) -> tuple[int, int]:
        """Return the number of repositories, and that of tags. Raises CatalogFault."""
        row = await self._services.catalog.read(lambda connection: connection.execute(_COUNTS).one())
        return row[0], row[1]

    async def remove_broken(self) -> None:
        """Remove the manifests that lack content. A client would otherwise fail in the middle of a pull.

        Raises:
            CatalogFault: the catalog failed.
        """
        while removed := await self._remove_some():
            self.found.broken += removed

    async def _remove_some(self) -> list[str]:
        suspects = await self._services.catalog.read_long(lambda connection: connection.execute(_SUSPECTS).all())
        removed = []
        for row in suspects:
            repository, digest = Repository(row.name), Digest.parse(row.digest)
            try:
                manifest = await in_thread("read a manifest", self._load, digest, row.media_type, row.size_bytes)
            except StorageFault:
                continue  # damaged: it may name anything
            drop = partial(self._drop, repository=repository, manifest=manifest)
            if await self._services.catalog.write(drop):
                removed.append(f"{repository}@{digest}")
        return removed

    def _drop(self, connection: Connection, repository: Repository, manifest: Manifest) -> bool:
        repository_id = rows.find_repository(connection, repository)
        if repository_id is None:
            return False
        absent = rows.absent_of(connection, repository, manifest.digest)
        members = [one.digest for one in manifest.manifests if str(one.digest) not in absent]
        wanted = [one.digest for one in manifest.blobs]
        if (
            rows.first_missing(connection, repository_blobs, repository_id, wanted) is None
            and rows.first_missing(connection, manifests, repository_id, members) is None
        ):
            return False
        return remove_manifest(connection, repository, manifest.digest, ReviewCause.DELETED, self._services.clock.now())

    async def recover(self, unknown: Sequence[tuple[Digest, int]]) -> None:
        """Find manifests among content without a row, and hold those that are complete.

        A manifest that no other one contains gets a tag: the beginning of its digest.

        Args:
            unknown: digest and size in bytes of the content.

        Raises:
            CatalogFault, StorageFault: the store failed.
        """
        self._unknown = dict(unknown)
        named = await in_thread("look for manifests", self._contained, unknown)
        for digest, is_contained in named.items():
            # Those in others are held with them, and alone if the others are incomplete.
            tags = [] if is_contained else [Tag(_tag(digest))]
            try:
                await self._services.catalog.write(partial(self._hold, digest=digest, tags=tags))
            except ManifestBlobUnknown as error:
                self.found.incomplete[str(digest)] = error.detail["digest"]
            else:
                self.found.recovered += [f"{self._repository}:{tag}" for tag in tags]

    def _contained(self, unknown: Sequence[tuple[Digest, int]]) -> dict[Digest, bool]:
        """Return the manifests among content, with True for those that another one contains. Blocks."""
        found: dict[Digest, bool] = {}
        contained: set[Digest] = set()
        for digest, size_bytes in unknown:
            if 0 < size_bytes <= MAX_MANIFEST_BYTES and (manifest := self._guess(digest, size_bytes)) is not None:
                found[digest] = False
                contained.update(member.digest for member in manifest.manifests)
        return {digest: digest in contained for digest in found}

    def _guess(self, digest: Digest, size_bytes: int) -> Manifest | None:
        """Return the manifest with some digest; None if the content is none. Blocks."""
        try:
            content = self._services.blobs.read(digest, size_bytes)
        except StorageFault:
            return None
        if content.lstrip()[:1] != b"{":
            return None
        try:
            body = parse_json_object(content)
            media_type = body.get("mediaType") or (OCI_INDEX if "manifests" in body else OCI_MANIFEST)
            is_one = body.get("schemaVersion") == _SCHEMA and ("manifests" in body or "layers" in body)
            if not is_one or not isinstance(media_type, str) or not is_manifest(media_type):
                return None
            return Manifest.parse(content, media_type, digest)
        except ClientFault:
            return None

    def _load(self, digest: Digest, media_type: str, size_bytes: int) -> Manifest:
        return load_manifest(self._services.blobs, digest, media_type, size_bytes)

    def _hold(self, connection: Connection, digest: Digest, tags: Sequence[Tag]) -> None:
        """Hold a manifest with everything below it. Raises ManifestBlobUnknown if something is missing."""
        now = self._services.clock.now()
        size_bytes = self._size_bytes(connection, digest)
        manifest = None if size_bytes is None else self._guess(digest, size_bytes)
        if manifest is None:
            raise _missing(digest)
        for member in manifest.manifests:
            self._hold(connection, member.digest, [])
        for blob in manifest.blobs:
            if self._size_bytes(connection, blob.digest) != blob.size_bytes:
                raise _missing(blob.digest)
            rows.add_content(connection, blob.digest, blob.size_bytes, now)
            rows.add_blob(connection, self._repository, blob.digest, now)
        rows.add_content(connection, digest, manifest.size_bytes, now)
        referrer = referrer_columns(manifest)
        hold_manifest(connection, self._repository, manifest, tags, now=now, referrer=referrer, pushed=True)

    def _size_bytes(self, connection: Connection, digest: Digest) -> int | None:
        known: int | None = connection.execute(_SIZE, {"digest": str(digest)}).scalar_one_or_none()
        return self._unknown.get(digest) if known is None else known


def _missing(digest: Digest) -> ManifestBlobUnknown:
    return ManifestBlobUnknown(f"{digest} is missing", digest=digest)


def _tag(digest: Digest) -> str:
    return digest.hex[:_TAG_LENGTH]
