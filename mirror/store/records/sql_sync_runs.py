"""Sync runs, mirrored tags and their events, in the catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update

from mirror.oci import Digest, Repository, Tag
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.lifecycle.storage_numbers import Traffic, TrafficSource
from mirror.records.sync_runs import (
    MirroredTag,
    RuleRecord,
    Run,
    RunOutcome,
    RunStep,
    TagChange,
    TagEvent,
    TagOutcome,
    TagRecord,
)
from mirror.store.catalog import rows
from mirror.store.catalog.change_rows import note_change
from mirror.store.catalog.tables.sync_tables import (
    mirrored_tags,
    pulls,
    sync_entries,
    sync_rules,
    sync_runs,
    tag_events,
)
from mirror.store.records.sql_held_content import SqlHeldContent
from mirror.store.records.sql_tag_owners import SqlTagOwners, mirrored_tag
from mirror.store.records.sql_traffic import add_traffic
from mirror.store.store_services import StoreServices

#: Most runs of a rule, and most events of a tag, that are kept.
_RUNS_KEPT = 200
_EVENTS_KEPT = 100

#: Kinds of changes that other systems hear of, by the event of a tag. What a move changes here, they hear anyway.
_TOLD = {TagChange.HELD: ChangeKind.UPSTREAM_TAG_HELD, TagChange.GONE: ChangeKind.UPSTREAM_TAG_GONE}

_MIRRORED = select(mirrored_tags).where(mirrored_tags.c.repository == bindparam("name"))


class SqlSyncRuns:
    """Implements :class:`mirror.records.sync_runs.RunRecorder` and :class:`mirror.records.sync_runs.RunHistory`.

    Nothing of these records is cached, so their writes keep all caches valid.
    """

    def __init__(self, services: StoreServices, owners: SqlTagOwners) -> None:
        self._catalog = services.catalog
        self._clock = services.clock
        self.other_tags = owners.other_tags
        content = SqlHeldContent(services)
        self.tag_digests, self.held_manifest = content.tag_digests, content.held_manifest

    async def begin_run(self, rule: str, fingerprint: str | None = None) -> Run:
        now = self._clock.now()

        def begin(connection: Connection) -> Run:
            _know(connection, rule, now)
            connection.execute(update(sync_rules).where(sync_rules.c.rule == rule).values(fingerprint=fingerprint))
            # The rule's lock is held, so a run that is still marked as running was interrupted.
            unfinished = update(sync_runs).where(sync_runs.c.rule == rule, sync_runs.c.outcome == RunOutcome.RUNNING)
            connection.execute(unfinished.values(outcome=RunOutcome.INTERRUPTED))
            values = {key: value for key, value in asdict(Run(0, rule, now)).items() if key != "id"}
            made = connection.execute(insert(sync_runs).values(**values).returning(sync_runs.c.id))
            return Run(made.scalar_one(), rule, now)

        return await self._catalog.write_uncached(begin)

    async def record(self, run: Run, steps: Sequence[RunStep]) -> None:
        now = self._clock.now()

        def write(connection: Connection) -> None:
            rows.put(connection, sync_entries, *(_entry_row(run.id, step.record) for step in steps if step.record))
            rows.put(connection, mirrored_tags, *(mirrored_row(step.mirrored) for step in steps if step.mirrored))
            for step in steps:
                if step.event is not None:
                    add_event(connection, step.event)
                if step.mirrored is not None and step.pulled:
                    rows.forget_origins(connection, step.mirrored.repository, [step.mirrored.tag.name], now)

        if any(step.pulled for step in steps):  # origins are cached
            await self._catalog.write(write)
        elif steps:
            await self._catalog.write_uncached(write)

    async def end_run(self, run: Run, upstream: str = "") -> None:
        values = {key: value for key, value in asdict(run).items() if key not in {"id", "rule", "started_at"}}
        oldest = select(sync_runs.c.id).where(sync_runs.c.rule == run.rule).order_by(sync_runs.c.id.desc())

        def end(connection: Connection) -> None:
            connection.execute(update(sync_runs).where(sync_runs.c.id == run.id).values(**values))
            if run.outcome is RunOutcome.FAILED:
                note_change(connection, self._clock.now(), Change(ChangeKind.SYNC_FAILED, run.rule, reason=run.reason))
            if run.outcome is RunOutcome.SUCCEEDED:
                condition = update(sync_rules).where(sync_rules.c.rule == run.rule)
                connection.execute(condition.values(last_success_at=run.ended_at))
            if run.moved_bytes:
                fetched = Traffic(fetched_bytes=run.moved_bytes)
                add_traffic(connection, {TrafficSource(upstream, run.rule): fetched})
            kept = connection.execute(oldest.offset(_RUNS_KEPT - 1).limit(1)).scalar_one_or_none()
            if kept is not None:
                connection.execute(delete(sync_runs).where(sync_runs.c.rule == run.rule, sync_runs.c.id < kept))

        await self._catalog.write_uncached(end)

    async def mirrored(self, repository: Repository) -> Mapping[Tag, MirroredTag]:
        wanted = {"name": repository.name}
        found = await self._catalog.read(lambda connection: connection.execute(_MIRRORED, wanted).all())
        return {row.tag: row for row in map(mirrored_tag, found)}

    async def pulled_since(self, repository: Repository, since: datetime) -> Collection[str]:
        statement = select(pulls.c.target).where(pulls.c.repository == repository.name, pulls.c.pulled_at >= since)
        return frozenset(row.target for row in await self._rows(statement))

    async def rule_record(self, rule: str) -> RuleRecord:
        about_rule = select(sync_rules).where(sync_rules.c.rule == rule)
        known = await self._catalog.read(lambda connection: connection.execute(about_rule).one_or_none())
        if known is None:
            now = self._clock.now()
            await self._catalog.write_uncached(lambda connection: _know(connection, rule, now))
            return RuleRecord(now)
        last = await self.runs(rule, 1)
        return RuleRecord(known.known_since, last[0] if last else None, known.last_success_at, known.fingerprint)

    async def runs(self, rule: str, limit: int) -> Sequence[Run]:
        statement = select(sync_runs).where(sync_runs.c.rule == rule).order_by(sync_runs.c.id.desc()).limit(limit)
        return [_run(row) for row in await self._rows(statement)]

    async def entries(self, run_id: int) -> Sequence[TagRecord]:
        of_run = select(sync_entries).where(sync_entries.c.run_id == run_id)
        statement = of_run.order_by(sync_entries.c.repository, sync_entries.c.tag)
        return [_entry(row) for row in await self._rows(statement)]

    async def mirrored_by(self, rule: str) -> Sequence[MirroredTag]:
        of_rule = select(mirrored_tags).where(mirrored_tags.c.rule == rule)
        statement = of_rule.order_by(mirrored_tags.c.repository, mirrored_tags.c.tag)
        return [mirrored_tag(row) for row in await self._rows(statement)]

    async def events_of(self, rule: str, limit: int) -> Sequence[TagEvent]:
        same_tag = (tag_events.c.repository == mirrored_tags.c.repository) & (tag_events.c.tag == mirrored_tags.c.tag)
        statement = select(tag_events).join(mirrored_tags, same_tag).where(mirrored_tags.c.rule == rule)
        return await self._events(statement, limit)

    async def history(self, repository: Repository, tag: Tag | None, limit: int) -> Sequence[TagEvent]:
        statement = select(tag_events).where(tag_events.c.repository == repository.name)
        if tag is not None:
            statement = statement.where(tag_events.c.tag == tag.name)
        return await self._events(statement, limit)

    async def _events(self, statement: Select[Any], limit: int) -> Sequence[TagEvent]:
        return [_event(row) for row in await self._rows(statement.order_by(tag_events.c.id.desc()).limit(limit))]

    async def _rows(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        return await self._catalog.read_long(lambda connection: connection.execute(statement).all())


def _know(connection: Connection, rule: str, now: datetime) -> None:
    known = connection.execute(select(sync_rules.c.rule).where(sync_rules.c.rule == rule))
    if known.scalar_one_or_none() is None:
        connection.execute(insert(sync_rules).values(rule=rule, known_since=now))


def _entry_row(run_id: int, record: TagRecord) -> dict[str, object]:
    return {
        "run_id": run_id,
        "repository": record.repository.name,
        "tag": "" if record.tag is None else record.tag.name,
        "outcome": record.outcome,
        "before": _text(record.before),
        "after": _text(record.after),
        "moved_bytes": record.moved_bytes,
        "reason": record.reason,
        "warnings": list(record.warnings) or None,
    }


def mirrored_row(mirrored: MirroredTag) -> dict[str, object]:
    """Return the row of a mirrored tag."""
    return {
        "repository": mirrored.repository.name,
        "tag": mirrored.tag.name,
        "rule": mirrored.rule,
        "upstream": mirrored.upstream,
        "source": mirrored.source.name,
        "digest": str(mirrored.digest),
        "upstream_digest": str(mirrored.upstream_digest),
        "brought_at": mirrored.brought_at,
        "gone_at": mirrored.gone_at,
        "dropped_at": mirrored.dropped_at,
        "original": _text(mirrored.original),
        "changes": None if mirrored.changes is None else dict(mirrored.changes),
    }


def add_event(connection: Connection, event: TagEvent) -> None:
    """Add an event to the history of its tag. Only inside :meth:`Catalog.write`."""
    values = {
        "repository": event.repository.name,
        "tag": event.tag.name,
        "at": event.at,
        "change": event.change,
        "before": _text(event.before),
        "after": _text(event.after),
        "source": event.source,
        "difference": list(event.difference),
    }
    connection.execute(insert(tag_events), values)
    kind = _TOLD.get(event.change, ChangeKind.PRIVILEGES_CHANGED if event.difference else None)
    if kind is not None:
        subject, detail = f"{event.repository}:{event.tag}", {"source": event.source}
        if event.difference:
            detail["difference"] = "; ".join(event.difference)
        made = Change(
            kind, subject, event.repository.name, _text(event.before) or "", _text(event.after) or "", detail=detail
        )
        note_change(connection, event.at, made)
    if event.change is TagChange.APPEARED:
        return  # a new tag has hardly any earlier events to remove
    condition = (tag_events.c.repository == event.repository.name) & (tag_events.c.tag == event.tag.name)
    latest = select(tag_events.c.id).where(condition).order_by(tag_events.c.id.desc())
    kept = connection.execute(latest.offset(_EVENTS_KEPT - 1).limit(1)).scalar_one_or_none()
    if kept is not None:
        connection.execute(delete(tag_events).where(condition, tag_events.c.id < kept))


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    return Run(**values | {"outcome": RunOutcome(row.outcome)})


def _entry(row: Row[Any]) -> TagRecord:
    return TagRecord(
        Repository(row.repository),
        Tag(row.tag) if row.tag else None,
        TagOutcome(row.outcome),
        _digest(row.before),
        _digest(row.after),
        row.moved_bytes,
        row.reason,
        warnings=tuple(row.warnings or ()),
    )


def _event(row: Row[Any]) -> TagEvent:
    return TagEvent(
        Repository(row.repository),
        Tag(row.tag),
        row.at,
        TagChange(row.change),
        _digest(row.before),
        _digest(row.after),
        row.source,
        tuple(row.difference),
    )


def _text(digest: Digest | None) -> str | None:
    return None if digest is None else str(digest)


def _digest(text: str | None) -> Digest | None:
    return None if text is None else Digest.parse(text)
