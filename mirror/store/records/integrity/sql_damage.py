"""Examination of stored bytes, and records of damage, in the catalog."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy import BindParameter, Connection, and_, bindparam, delete, exists, func, select, update

from mirror.oci import Digest
from mirror.oci.errors import DigestInvalid, StorageDamaged
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.lifecycle.damage import ContentUse, DamageCounts, DamagedContent, ExaminationResult, StoredContent
from mirror.store.bucket.object_rows import doom_object
from mirror.store.catalog import child_rows, damage_rows, rows
from mirror.store.catalog.change_rows import note_change
from mirror.store.catalog.child_rows import KEPT
from mirror.store.catalog.tables.collection_tables import damaged_content
from mirror.store.catalog.tables.content_tables import (
    ChildKind,
    blobs,
    incomplete_manifests,
    manifest_children,
    manifests,
)
from mirror.store.content.blob_examination import ExaminedFile
from mirror.store.content.manifest_bytes import load_manifest
from mirror.store.records.integrity import sql_content_use
from mirror.store.records.integrity.manifest_rows_check import with_right_rows
from mirror.store.records.lifecycle.work_rows import find_work, put_work
from mirror.store.storage_threads import in_thread
from mirror.store.store_services import StoreServices

if TYPE_CHECKING:  # imported with a bucket only
    from mirror.store.records.integrity.object_examination import ObjectExamination

_LOG = structlog.get_logger(__name__)

#: Name in the table of long work of the number of healed pieces of content.
_HEALED: Final = "healed"

_ABOUT: BindParameter[str] = bindparam("about")
_ONE = select(blobs.c.digest, blobs.c.size_bytes).where(blobs.c.digest == _ABOUT)
_IS_PLAIN = and_(
    *(~exists().where(each.c.digest == blobs.c.digest) for each in (manifests, incomplete_manifests, damaged_content))
)
_NEXT = (
    select(blobs.c.digest, blobs.c.size_bytes, _IS_PLAIN.label("is_plain"))
    .where(blobs.c.digest > bindparam("after"))
    .order_by(blobs.c.digest)
    .limit(bindparam("most"))
)
_LEFT = select(func.count(), func.coalesce(func.sum(blobs.c.size_bytes), 0)).where(blobs.c.digest > bindparam("after"))
_KEPT = select(KEPT.c.repository, KEPT.c.media_type).where(KEPT.c.digest == _ABOUT)
_CHILDREN = select(manifest_children.c.repository, manifest_children.c.child, manifest_children.c.kind).where(
    manifest_children.c.manifest == _ABOUT, manifest_children.c.repository.in_(bindparam("names", expanding=True))
)
_NO_CHILDREN = delete(manifest_children).where(
    manifest_children.c.repository == bindparam("name"), manifest_children.c.manifest == _ABOUT
)
_RIGHT_SIZE = update(blobs).where(blobs.c.digest == _ABOUT).values(size_bytes=bindparam("right_bytes"))
_DAMAGED = select(damaged_content).where(damaged_content.c.digest == _ABOUT)
_IS_GONE = ~exists().where(blobs.c.digest == damaged_content.c.digest)
_ALL_DAMAGED = select(damaged_content, _IS_GONE.label("is_gone")).order_by(damaged_content.c.digest)
_NO_LONGER_STORED = delete(damaged_content).where(_IS_GONE)
_ATTEMPT = (
    update(damaged_content)
    .where(damaged_content.c.digest == _ABOUT)
    .values(attempts=damaged_content.c.attempts + 1, last_attempt_at=bindparam("at"), last_error=bindparam("error"))
)
_COUNT_DAMAGED = select(func.count()).select_from(damaged_content).where(~_IS_GONE)

#: What one manifest names, by repository.
_Children = dict[str, set[tuple[str, str]]]


class SqlDamage:
    """Implements :class:`mirror.records.lifecycle.damage.Damage`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._blobs = services.blobs
        self._adoption = services.adoption
        self._objects: ObjectExamination | None = None
        if services.adoption.objects is not None:
            from mirror.store.records.integrity.object_examination import ObjectExamination

            self._objects = ObjectExamination(services.catalog, services.blobs, services.adoption.objects)
        self._clock = services.clock

    async def stored(self, after: str, most: int) -> Sequence[StoredContent]:
        wanted = {"after": after, "most": most}
        found = await self._catalog.read_long(lambda connection: connection.execute(_NEXT, wanted).all())
        return [StoredContent(Digest.parse(row.digest), row.size_bytes, row.is_plain) for row in found]

    async def left(self, after: str) -> tuple[int, int]:
        files, size_bytes = await self._catalog.read_long(
            lambda connection: connection.execute(_LEFT, {"after": after}).one()
        )
        return files, size_bytes

    async def find_stored(self, digest: Digest) -> StoredContent | None:
        about = {"about": str(digest)}
        row = await self._catalog.read(lambda connection: connection.execute(_ONE, about).one_or_none())
        return None if row is None else StoredContent(digest, row.size_bytes)

    async def find_whole(self, contents: Sequence[StoredContent]) -> Collection[Digest]:
        examination, sizes = self._blobs.examination, {each.digest: each.size_bytes for each in contents}
        found = await in_thread("read small blobs", examination.read_whole, sizes)
        if self._objects is not None:
            found = await self._objects.those_stored(found)
        manifests = {each.digest: found[each.digest] for each in contents if not each.is_plain and each.digest in found}
        if not manifests:
            return found.keys()
        right = await self._catalog.read_long(lambda connection: with_right_rows(connection, manifests))
        return found.keys() - (manifests.keys() - right)

    async def examine(self, content: StoredContent, read: Callable[[int], Awaitable[None]]) -> ExaminationResult:
        examined = await self._blobs.examination.examine(content.digest, read)
        if examined.problem and examined.identity is not None:
            # A fault of memory or of a cable looks like damage once.
            examined = await self._blobs.examination.examine(content.digest, read)
        key = ""
        if self._objects is not None:
            key, examined, result = await self._objects.examine(content, examined)
            if result is not None:
                return result
        if examined.problem:
            return await self._set_aside(content.digest, examined, key)
        if content.is_plain and examined.size_bytes == content.size_bytes:
            return ExaminationResult.WHOLE
        return await self._correct(content, examined.size_bytes)

    async def _set_aside(self, digest: Digest, examined: ExaminedFile, key: str) -> ExaminationResult:
        now = self._clock.now()

        def work(connection: Connection) -> ExaminationResult:
            stored = connection.execute(_ONE, {"about": str(digest)}).one_or_none()
            if key:  # the next bytes with this digest get another object
                doom_object(connection, key, now)
            # In the writer's turn: no push can replace the file between the look and the move.
            if stored is None or not self._blobs.examination.set_aside(digest, examined):
                return ExaminationResult.GONE
            if examined.identity is None and connection.execute(_DAMAGED, {"about": str(digest)}).first() is not None:
                return ExaminationResult.STILL_DAMAGED
            damaged = DamagedContent(
                digest, stored.size_bytes, _told(examined, stored.size_bytes), now, examined.identity is not None
            )
            rows.put(connection, damaged_content, _row(damaged))
            note_change(connection, now, Change(ChangeKind.CONTENT_DAMAGED, str(digest), reason=damaged.problem))
            _LOG.error("damaged content found", digest=str(digest), problem=damaged.problem)
            return ExaminationResult.DAMAGED

        return await self._catalog.write(work)

    async def _correct(self, content: StoredContent, right_bytes: int) -> ExaminationResult:
        """Compare the catalog with whole bytes. Correct what is wrong in it."""
        about = {"about": str(content.digest)}
        kept = await self._catalog.read(lambda connection: connection.execute(_KEPT, about).all())
        named: _Children = {}
        of_plugin = False
        for row in kept:
            try:
                manifest = await in_thread(
                    f"read {content.digest}", load_manifest, self._blobs, content.digest, row.media_type, right_bytes
                )
            except StorageDamaged:
                continue  # bytes that no version of the program reads as a manifest; the catalog says so
            named[row.repository] = {(child, kind.value) for child, kind in child_rows.children_of(manifest)}
            of_plugin = manifest.may_be_plugin
        wrong = partial(_wrong, content.digest, right_bytes, named)
        if not any(await self._catalog.read(wrong)):
            return ExaminationResult.WHOLE

        def work(connection: Connection) -> ExaminationResult:
            # Looked up again: another change may have come before this turn.
            wrong_size, was_damaged, wrong_children = wrong(connection)
            if wrong_size:
                connection.execute(_RIGHT_SIZE, {**about, "right_bytes": right_bytes})
            if was_damaged:
                damage_rows.whole_again(connection, str(content.digest))
            for name in wrong_children:
                connection.execute(_NO_CHILDREN, {**about, "name": name})
                children = [(child, ChildKind(kind)) for child, kind in sorted(named[name])]
                child_rows.write(connection, name, str(content.digest), children, of_plugin=of_plugin)
            is_wrong = wrong_size or bool(wrong_children)
            return ExaminationResult.CORRECTED if is_wrong else ExaminationResult.WHOLE

        result = await self._catalog.write(work)
        _LOG.warning("catalog corrected", digest=str(content.digest), size_bytes=right_bytes)
        return result

    def take_suspects(self) -> Sequence[Digest]:
        return self._blobs.suspects.take()

    async def damaged(self) -> Sequence[DamagedContent]:
        found = await self._catalog.read_long(lambda connection: connection.execute(_ALL_DAMAGED).all())
        if any(row.is_gone for row in found):
            await self._catalog.write_uncached(lambda connection: connection.execute(_NO_LONGER_STORED))
        damaged = [_damaged(row) for row in found if not row.is_gone]
        known = {each.digest for each in damaged}
        for digest in await in_thread("list damaged files", lambda: [*self._blobs.examination.aside()]):
            if digest not in known:
                # In the writer's turn: a scrub may have set the file aside since.
                await self._catalog.write_uncached(partial(self._remove_unknown, digest))
        return damaged

    def _remove_unknown(self, digest: Digest, connection: Connection) -> None:
        if connection.execute(_DAMAGED, {"about": str(digest)}).first() is None:
            self._blobs.examination.remove_aside(digest)

    async def use_of(self, digest: Digest) -> ContentUse:
        return await self._catalog.read_long(lambda connection: sql_content_use.use_of(connection, digest))

    async def restore_manifest(self, digest: Digest, content: bytes) -> None:
        actual = Digest.of(content, digest.algorithm)
        if actual != digest:
            raise DigestInvalid(f"manifest has digest {actual}, not {digest}", expected=digest, actual=actual)
        now = self._clock.now()

        def hold(_connection: Connection) -> None:
            """Write no row: its repositories hold the manifest already."""

        async with self._blobs.staged(content) as file:
            await self._adoption.adopt(file, digest, size_bytes=len(content), now=now, hold=hold)

    async def note_attempt(self, digest: Digest, error: str) -> None:
        tried = {"about": str(digest), "at": self._clock.now(), "error": error}
        await self._catalog.write_uncached(lambda connection: connection.execute(_ATTEMPT, tried))

    async def count_healed(self) -> None:
        now = self._clock.now()

        def work(connection: Connection) -> None:
            put_work(connection, _HEALED, {"healed": _healed(connection) + 1}, now=now)

        await self._catalog.write_uncached(work)

    async def counts(self) -> DamageCounts:
        return await self._catalog.read(
            lambda connection: DamageCounts(connection.execute(_COUNT_DAMAGED).scalar_one(), _healed(connection))
        )


def _healed(connection: Connection) -> int:
    row = find_work(connection, _HEALED)
    return 0 if row is None else int(row.state["healed"])


def _wrong(digest: Digest, right_bytes: int, named: _Children, connection: Connection) -> tuple[bool, bool, list[str]]:
    """Return what the catalog has wrong: the size, the damage, and the repositories with wrong rows of a manifest."""
    about = {"about": str(digest)}
    stored = connection.execute(_ONE, about).one_or_none()
    if stored is None:  # collected meanwhile
        return False, False, []
    was_damaged = connection.execute(_DAMAGED, about).first() is not None
    found: _Children = {name: set() for name in named}
    for row in connection.execute(_CHILDREN, {**about, "names": list(named)}) if named else ():
        found[row.repository].add((row.child, row.kind))
    wrong_children = [name for name, children in named.items() if found[name] != children]
    return stored.size_bytes != right_bytes, was_damaged, wrong_children


def _told(examined: ExaminedFile, size_bytes: int) -> str:
    if examined.identity is not None and examined.size_bytes != size_bytes:
        return f"the file has {examined.size_bytes} bytes, not {size_bytes}"
    return examined.problem


def _row(damaged: DamagedContent) -> dict[str, object]:
    return {
        "digest": str(damaged.digest),
        "size_bytes": damaged.size_bytes,
        "problem": damaged.problem,
        "found_at": damaged.found_at,
        "is_set_aside": damaged.is_set_aside,
        "attempts": damaged.attempts,
        "last_attempt_at": damaged.last_attempt_at,
        "last_error": damaged.last_error,
    }


def _damaged(row: Any) -> DamagedContent:
    return DamagedContent(
        Digest.parse(row.digest),
        row.size_bytes,
        row.problem,
        row.found_at,
        row.is_set_aside,
        row.attempts,
        row.last_attempt_at,
        row.last_error,
    )
