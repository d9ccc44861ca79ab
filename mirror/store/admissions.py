"""Which plugins are let in, kept beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, exists, func, or_, select

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
_ONE = select(table).where(table.c.repository == bindparam("name"), table.c.digest == bindparam("wanted"))
_LAST = (
    select(table.c.asked)
    .where(table.c.repository == bindparam("name"), table.c.asked.is_not(None), _LET_IN)
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
_COUNTS = or_(_HELD_THERE, _COMING_THERE, table.c.approved.is_not(None))
_COUNTED = (
    select(table.c.action, table.c.approved, func.count()).where(_COUNTS).group_by(table.c.action, table.c.approved)
)
_LISTED = (
    select(table)
    .where(_COUNTS)
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
        return await self._catalog.read(lambda connection: _find(connection, repository, digest))

    async def last_admitted(self, repository: Repository) -> tuple[Asked, ...] | None:
        wanted = {"name": repository.name}
        found = await self._catalog.read(lambda connection: connection.execute(_LAST, wanted).scalar_one_or_none())
        return None if found is None else _pairs(found)

    async def note_verdict(self, admission: Admission) -> None:
        def note(connection: Connection) -> None:
            known = _find(connection, admission.repository, admission.digest)
            _put(connection, replace(admission, decision=None if known is None else known.decision))

        await self._catalog.write(note)

    async def decide(self, repository: Repository, digest: Digest, decision: Decision) -> Admission:
        def decide(connection: Connection) -> Admission:
            known = _find(connection, repository, digest) or Admission(repository, digest, decision.at)
            decided = replace(known, decision=decision)
            _put(connection, decided)
            return decided

        return await self._catalog.write(decide)

    async def admissions(self, state: State | None = None) -> Sequence[Admission]:
        def read(connection: Connection) -> list[Admission]:
            pointing: dict[tuple[str, str], list[Tag]] = {}
            for name, digest, tag in connection.execute(_TAGS):
                pointing.setdefault((name, digest), []).append(Tag(tag))
            found = connection.execute(_LISTED).all()
            return [_read(row, pointing.get((row.repository, row.digest), ())) for row in found]

        return [one for one in await self._catalog.read(read) if state is None or one.state is state]

    async def count_admissions(self) -> Mapping[State, int]:
        counts: dict[State, int] = dict.fromkeys(State, 0)
        for action, approved, count in await self._catalog.read(lambda connection: connection.execute(_COUNTED).all()):
            counts[State.of(None if action is None else Action(action), approved)] += count
        return counts


def _find(connection: Connection, repository: Repository, digest: Digest) -> Admission | None:
    row = connection.execute(_ONE, {"name": repository.name, "wanted": str(digest)}).one_or_none()
    return None if row is None else _read(row)


def _put(connection: Connection, admission: Admission) -> None:
    verdict, asked, decision = admission.verdict, admission.asked, admission.decision
    row = {
        "repository": admission.repository.name,
        "digest": str(admission.digest),
        "noted_at": admission.noted_at,
        "action": None if verdict is None else verdict.action.value,
        "rule": None if verdict is None else verdict.rule,
        "reason": None if verdict is None else verdict.reason,
        "asked": None if asked is None else [list(pair) for pair in asked],
        "grown": [list(pair) for pair in admission.grown],
        "approved": None if decision is None else decision.approved,
        "decided_by": None if decision is None else decision.by,
        "decided_at": None if decision is None else decision.at,
        "note": None if decision is None else decision.note,
    }
    rows.put(connection, table, row)


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
