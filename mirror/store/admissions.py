"""Which plugins are let in, kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mirror.oci.digest import Digest
from mirror.oci.names import Repository, Tag
from mirror.plugin.policy import Action, Verdict
from mirror.plugin.privilege_pattern import Asked
from mirror.registry.admissions import Admission, Decision, State
from mirror.store.catalog import rows
from mirror.store.catalog.tables import admissions as table
from mirror.store.catalog.tables import incomplete_manifests, manifests, repositories, tags
from mirror.store.parts import StoreParts

_LET_IN = or_(
    table.c.approved.is_(True),
    and_(table.c.approved.is_(None), table.c.action.in_([Action.ALLOW.value, Action.WARN.value])),
)
_LAST_LET_IN = (
    select(table.c.asked)
    .where(table.c.asked.is_not(None), _LET_IN)
    .order_by(func.coalesce(table.c.decided_at, table.c.noted_at).desc())
    .limit(1)
)
_HELD_THERE = exists().where(
    repositories.c.name == table.c.repository,
    manifests.c.repository_id == repositories.c.id,
    manifests.c.digest == table.c.digest,
)
_COMING_THERE = exists().where(
    incomplete_manifests.c.repository == table.c.repository, incomplete_manifests.c.digest == table.c.digest
)
_LISTED = (
    select(table)
    .where(or_(_HELD_THERE, _COMING_THERE, table.c.approved.is_not(None)))
    .order_by(func.coalesce(table.c.decided_at, table.c.noted_at).desc(), table.c.repository, table.c.digest)
)
_TAGS = (
    select(repositories.c.name, tags.c.digest, tags.c.name.label("tag"))
    .join(repositories, repositories.c.id == tags.c.repository_id)
    .join(table, and_(table.c.repository == repositories.c.name, table.c.digest == tags.c.digest))
    .order_by(tags.c.name)
)


class StoreAdmissions(StoreParts):
    """Implements :class:`mirror.registry.admissions.Admissions`."""

    @property
    def admission_generation(self) -> int | None:
        return self._cache.generation

    async def admission(self, repository: Repository, digest: Digest) -> Admission | None:
        async with self._catalog.read() as connection:
            return await _admission(connection, repository, digest)

    async def last_admitted(self, repository: Repository) -> tuple[Asked, ...] | None:
        async with self._catalog.read() as connection:
            statement = _LAST_LET_IN.where(table.c.repository == repository.name)
            found = (await connection.execute(statement)).scalar_one_or_none()
        return None if found is None else _pairs(found)

    async def note_verdict(self, admission: Admission) -> None:
        verdict, asked = admission.verdict, admission.asked
        values: dict[str, object] = {
            "action": None if verdict is None else verdict.action.value,
            "rule": None if verdict is None else verdict.rule,
            "reason": None if verdict is None else verdict.reason,
            "asked": None if asked is None else [list(pair) for pair in asked],
            "grown": [list(pair) for pair in admission.grown],
            "noted_at": admission.noted_at,
        }
        key = {"repository": admission.repository.name, "digest": str(admission.digest)}

        async def note(connection: AsyncConnection) -> None:
            await rows.put(connection, table, key, values)

        await self._catalog.write(note)

    async def decide(self, repository: Repository, digest: Digest, decision: Decision) -> Admission:
        key = {"repository": repository.name, "digest": str(digest)}
        values = {
            "approved": decision.approved,
            "decided_by": decision.by,
            "decided_at": decision.at,
            "note": decision.note,
        }

        async def decide(connection: AsyncConnection) -> Admission:
            known = await _admission(connection, repository, digest)
            first = {"noted_at": decision.at, "grown": []} if known is None else {}
            await rows.put(connection, table, key, {**first, **values})
            return await _admission(connection, repository, digest) or Admission(repository, digest, decision.at)

        return await self._catalog.write(decide)

    async def admissions(self, state: State | None = None) -> Sequence[Admission]:
        async with self._catalog.read() as connection:
            found = (await connection.execute(_LISTED)).all()
            pointing: dict[tuple[str, str], list[Tag]] = {}
            for name, digest, tag in await connection.execute(_TAGS):
                pointing.setdefault((name, digest), []).append(Tag(tag))
        listed = [_read(row, pointing.get((row.repository, row.digest), ())) for row in found]
        return [one for one in listed if state is None or one.state is state]


async def _admission(connection: AsyncConnection, repository: Repository, digest: Digest) -> Admission | None:
    here = (table.c.repository == repository.name) & (table.c.digest == str(digest))
    row = (await connection.execute(select(table).where(here))).one_or_none()
    return None if row is None else _read(row)


def _read(row: Row[Any], pointing: Sequence[Tag] = ()) -> Admission:
    verdict = None if row.action is None else Verdict(Action(row.action), row.rule, row.reason)
    decision = None if row.approved is None else Decision(row.approved, row.decided_by, row.decided_at, row.note)
    return Admission(
        Repository(row.repository),
        Digest.parse(row.digest),
        row.noted_at,
        verdict=verdict,
        asked=None if row.asked is None else _pairs(row.asked),
        grown=_pairs(row.grown),
        decision=decision,
        tags=tuple(pointing),
    )


def _pairs(value: list[list[str]]) -> tuple[Asked, ...]:
    return tuple((name, asked) for name, asked in value)
