"""The plugins that repositories hold, and the blobs that these plugins name: an index beside the manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)

from mirror.oci import Digest, Manifest, Repository
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.store.catalog.child_rows import KEPT, PLUGIN_BLOBS, blobs_named_by
from mirror.store.catalog.manifest_loader import StoredManifest
from mirror.store.catalog.tables.access_tables import decisions, verdicts
from mirror.store.catalog.tables.content_tables import blobs
from mirror.store.store_services import StoreServices

#: Most manifests that are read to look for a blob, the newest first, and most bytes of them together. Real manifests
#: have some KiB.
_MOST_READ, _MOST_READ_BYTES = 256, 16 * 1024 * 1024

_NAME: BindParameter[str] = bindparam("repository")
_MANIFEST: BindParameter[str] = bindparam("manifest")
_BLOB: BindParameter[str] = bindparam("blob")
_HERE = PLUGIN_BLOBS.c.repository == _NAME

_IS_PLUGIN = exists().where(PLUGIN_BLOBS.c.repository == KEPT.c.repository, PLUGIN_BLOBS.c.manifest == KEPT.c.digest)
_ONE = (
    select(KEPT.c.digest, KEPT.c.media_type, blobs.c.size_bytes)
    .join(blobs, blobs.c.digest == KEPT.c.digest)
    .where(KEPT.c.repository == _NAME, KEPT.c.digest == _MANIFEST)
    .limit(1)
)
_ANYWHERE = select(KEPT.c.repository).where(KEPT.c.digest == _MANIFEST).limit(1)
_THIS = KEPT.alias("this")
_CAME = (
    select(func.min(_THIS.c.created_at))
    .where(_THIS.c.repository == _NAME, _THIS.c.digest == _MANIFEST)
    .scalar_subquery()
)
_BEFORE = (
    select(KEPT.c.digest)
    .where(KEPT.c.repository == _NAME, KEPT.c.digest != _MANIFEST, _IS_PLUGIN)
    .where(or_(_CAME.is_(None), KEPT.c.created_at < _CAME))
    .order_by(KEPT.c.created_at.desc(), KEPT.c.digest)
    .limit(bindparam("most"))
)
_OTHERS = (
    select(KEPT.c.digest, KEPT.c.media_type, blobs.c.size_bytes)
    .join(blobs, blobs.c.digest == KEPT.c.digest)
    .where(KEPT.c.repository == _NAME, ~_IS_PLUGIN)
    .order_by(KEPT.c.created_at.desc())
    .limit(_MOST_READ)
)
_ANY = select(literal(1)).select_from(PLUGIN_BLOBS).where(_HERE).limit(1)
_APPROVED = exists().where(
    decisions.c.repository == PLUGIN_BLOBS.c.repository,
    decisions.c.digest == PLUGIN_BLOBS.c.manifest,
    decisions.c.approved.is_(True),
)
_LET_IN = exists().where(
    verdicts.c.repository == PLUGIN_BLOBS.c.repository,
    verdicts.c.digest == PLUGIN_BLOBS.c.manifest,
    verdicts.c.action.in_([PolicyAction.ALLOW.value, PolicyAction.WARN.value]),
)
_NAMING = (
    select(PLUGIN_BLOBS.c.manifest, blobs.c.size_bytes)
    .join(blobs, blobs.c.digest == PLUGIN_BLOBS.c.manifest)
    .where(_HERE, PLUGIN_BLOBS.c.blob == _BLOB)
    # Accepted plugins come first: one of them is sufficient to give out the blob.
    .order_by(case((_APPROVED, 0), (_LET_IN, 1), else_=2), PLUGIN_BLOBS.c.manifest)
    .limit(bindparam("most"))
)


class SqlHeldPlugins:
    """Implements :class:`mirror.records.admission.verdicts.HeldPlugins`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._manifests = services.manifests

    async def plugins_before(self, repository: Repository, digest: Digest, limit: int) -> Sequence[Digest]:
        wanted = {"repository": repository.name, "manifest": str(digest), "most": limit}
        return [Digest.parse(found) for found in reversed(await self._first_column(_BEFORE, wanted))]

    async def plugin(self, repository: Repository, digest: Digest) -> Manifest | None:
        wanted = {"repository": repository.name, "manifest": str(digest)}
        return await self._manifests.find(repository, _ONE, wanted)

    async def plugin_anywhere(self, digest: Digest) -> tuple[Repository, Manifest] | None:
        """Return a manifest, complete or not, with a repository that holds it. None if no repository does."""
        names = await self._first_column(_ANYWHERE, {"manifest": str(digest)})
        repository = Repository(names[0]) if names else None
        manifest = None if repository is None else await self.plugin(repository, digest)
        return None if repository is None or manifest is None else (repository, manifest)

    async def holds_plugins(self, repository: Repository) -> bool:
        return bool(await self._first_column(_ANY, {"repository": repository.name}))

    async def plugins_naming(
        self, repository: Repository, blob: Digest, limit: int, limit_bytes: int
    ) -> Sequence[Digest]:
        wanted = {"repository": repository.name, "blob": str(blob), "most": limit}
        found = await self._catalog.read(lambda connection: connection.execute(_NAMING, wanted).all())
        return [Digest.parse(row.manifest) for row in _within(found, limit_bytes)]

    async def is_named_otherwise(self, repository: Repository, blob: Digest) -> bool:
        """Look for the blob in the newest manifests that are no plugins. Only blobs to be withheld are looked up."""
        wanted = {"repository": repository.name}
        found = await self._catalog.read(lambda connection: connection.execute(_OTHERS, wanted).all())
        for row in _within(found, _MOST_READ_BYTES):
            if blob in blobs_named_by(await self._manifests.load(repository, StoredManifest.of(row))):
                return True
        return False

    async def _first_column(self, statement: Select[Any], wanted: Mapping[str, object]) -> list[str]:
        return await self._catalog.read(lambda connection: list(connection.execute(statement, wanted).scalars()))


def _within(found: Iterable[Any], limit_bytes: int) -> Iterator[Any]:
    """Yield the leading rows whose sizes add up to at most ``limit_bytes``."""
    left_bytes = limit_bytes
    for row in found:
        left_bytes -= row.size_bytes
        if left_bytes < 0:
            return
        yield row
