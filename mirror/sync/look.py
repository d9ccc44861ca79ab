"""Looking at a repository there and here, and working out what is to be done. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestUnknown, MirrorError, NotFound, RepositoryUnknown
from mirror.oci.names import Repository, Tag
from mirror.registry.journal import Mirrored
from mirror.registry.listing import all_tags
from mirror.registry.port import Deleter, Reader, ReadLister, Writer
from mirror.runtime.threads import in_thread
from mirror.sync.decide import Action, Decision, Known, decide
from mirror.sync.desk import Desk
from mirror.sync.retention import Kept, surplus
from mirror.sync.rule import MirrorRule
from mirror.transfer.concurrency import at_once
from mirror.transfer.select import companions, newest_first, select
from mirror.wire.referrers import is_digest_tag

_ASKED_AT_ONCE = 8


class Keeper(Reader, Writer, Deleter, Protocol):
    """Where a rule copies to: it is read, written to, and, by retention, deleted from."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A repository at the source, and the one here that is made of it.

    Attributes:
        rule: whose it is.
        source, there: the registry, and the repository in it.
        destination, here: our own, and its repository.
        twins: the other repositories here that are made of the same one.
    """

    rule: MirrorRule
    source: ReadLister
    there: Repository
    destination: Keeper
    here: Repository
    twins: tuple[Repository, ...] = ()

    @property
    def origin(self) -> str:
        """``UPSTREAM/REPOSITORY``."""
        return f"{self.rule.source}/{self.there}"


@dataclass(frozen=True, slots=True)
class TagPlan:
    """What is to be done about a tag.

    Attributes:
        tag: the tag.
        there: what it points to there; None where it is pinned, and there no longer.
        known: what is known of it.
        row: what the rule noted when it last brought it.
        decision: what is to be done.
    """

    tag: Tag
    there: Digest | None
    known: Known
    row: Mirrored | None
    decision: Decision

    @property
    def is_as_wanted(self) -> bool:
        """Whether it is here already as the rule wants it."""
        return self.known.stands_for == self.decision.wanted


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about a repository.

    Attributes:
        listed: every tag that it has there.
        tags: what is to be done about those that the rule selects, newest first.
        failed: tags that could not be looked at, and why.
        gone: tags that the rule has brought, and that are there no longer.
        lost: whether there is no tag left at all.
        drop: tags that the rule has brought, and need not be kept.
    """

    listed: frozenset[Tag]
    tags: tuple[TagPlan, ...]
    failed: tuple[tuple[Tag, MirrorError], ...]
    gone: tuple[Mirrored, ...]
    drop: tuple[Mirrored, ...]

    @property
    def lost(self) -> bool:
        """Whether there is no tag left at all: then, more likely than not, something else is wrong."""
        return not self.listed


async def look(pair: Pair, desk: Desk) -> Plan:
    """Work out what is to be done about a repository.

    Raises:
        RepositoryUnknown: it is not there, and never was.
        And whatever else listing raises.
    """
    rows = {tag: row for tag, row in (await desk.journal.mirrored(pair.here)).items() if _is_of(row, pair)}
    try:
        listed = tuple([tag async for tag in all_tags(pair.source, pair.there)])
    except RepositoryUnknown:
        if not rows:
            raise
        listed = ()
    there, wanted = await in_thread(_chosen, listed, pair)
    plans, failed = await look_at(pair, desk, wanted, rows, there)
    absent = {plan.tag for plan in plans if plan.there is None} | {tag for tag in rows if tag not in there}
    absent |= {tag for tag, error in failed if isinstance(error, ManifestUnknown) and tag in rows}
    present = [(tag, error) for tag, error in failed if tag not in absent]
    plans, drop = await _keep(pair, desk, plans, rows)
    gone = tuple(row for tag, row in rows.items() if tag in absent)
    return Plan(there, tuple(plans), tuple(present), gone, drop)


def _chosen(listed: tuple[Tag, ...], pair: Pair) -> tuple[frozenset[Tag], tuple[Tag, ...]]:
    """The tags that are there, and those of them that the rule is about, newest first; done in a thread.

    An upstream may list hundreds of thousands, and to tell their versions takes seconds.
    """
    return frozenset(listed), newest_first({*select(listed, pair.rule.tags), *pair.rule.pinned(pair.here)})


async def look_at(
    pair: Pair, desk: Desk, tags: tuple[Tag, ...], rows: Mapping[Tag, Mirrored], listed: frozenset[Tag]
) -> tuple[list[TagPlan], list[tuple[Tag, MirrorError]]]:
    """Look at some tags, several at a time.

    Returns:
        What is to be done about each, and those that could not be looked at.
    """
    pins = pair.rule.pinned(pair.here)

    async def one(tag: Tag) -> TagPlan | tuple[Tag, MirrorError]:
        pin, row = pins.get(tag), rows.get(tag)
        try:
            there = await _digest(pair.source, pair.there, tag) if tag in listed or pin is None else None
            known = await _known(pair, desk, tag, row)
        except MirrorError as error:
            return tag, error
        if there is None and pin is None:
            return tag, ManifestUnknown(f"{pair.there} has no manifest {tag}", name=pair.there, reference=tag)
        if there is not None:
            return TagPlan(tag, there, known, row, decide(there, known, pin))
        decision = replace(decide(pin, known, pin), change=None)  # type: ignore[arg-type]  # one of the two is there
        return TagPlan(tag, None, known, row, decision)

    found = await at_once(_ASKED_AT_ONCE, one, tags)
    return [each for each in found if isinstance(each, TagPlan)], [each for each in found if isinstance(each, tuple)]


async def _known(pair: Pair, desk: Desk, tag: Tag, row: Mirrored | None) -> Known:
    here = await _digest(pair.destination, pair.here, tag)
    ours = row is not None and row.digest == here
    if here is not None and not ours:
        origin = await desk.journal.origin(pair.here, tag)
        ours = origin is not None and origin.digest == here and (origin.upstream, origin.source) == _from(pair)
    if here is not None and not ours and pair.rule.changes is not None:
        made = await desk.derivations.derivation(here)  # an interrupted run may have noted no more than that
        ours = made is not None and made.made_by == desk.maker(pair.rule).name
    upstream = None if row is None else row.upstream_digest
    gone = row is not None and row.gone_at is not None
    return Known(here, _stands_for(pair, tag, here, row), upstream, ours, gone)


def _stands_for(pair: Pair, tag: Tag, here: Digest | None, row: Mirrored | None) -> Digest | None:
    changes = pair.rule.changes_of(pair.here, tag)
    if changes is None:
        return here
    if row is None or row.digest != here or row.changes != changes.to_json():
        return None
    return row.original


async def _digest(reader: Reader, repository: Repository, tag: Tag) -> Digest | None:
    try:
        return (await reader.resolve(repository, tag)).digest
    except NotFound:
        return None


async def _keep(
    pair: Pair, desk: Desk, plans: list[TagPlan], rows: Mapping[Tag, Mirrored]
) -> tuple[list[TagPlan], tuple[Mirrored, ...]]:
    """Apply retention: what need not be kept is not copied either."""
    retention, now = pair.rule.retention, desk.clock.now()
    if retention is None:
        return plans, ()
    held = {tag: row for tag, row in rows.items() if await _digest(pair.destination, pair.here, tag) == row.digest}
    of_its_own = {tag: row for tag, row in held.items() if not is_digest_tag(tag)}
    candidates = {tag: Kept(row.digest, row.brought_at, row.copied) for tag, row in of_its_own.items()}
    coming = [plan for plan in plans if plan.decision.action is Action.COPY]
    candidates |= {plan.tag: _coming(plan, now) for plan in coming}
    pulled = (
        frozenset()
        if retention.pulled_within is None
        else await desk.journal.pulled_since(pair.here, now - retention.pulled_within)
    )
    unwanted = await in_thread(surplus, candidates, retention, pair.rule.pinned(pair.here), pulled, now)
    plans = [_not_kept(plan) if plan in coming and plan.tag in unwanted else plan for plan in plans]
    leaving = {candidates[tag].original for tag in unwanted} - {
        one.original for tag, one in candidates.items() if tag not in unwanted
    }
    dropped = {*unwanted, *companions(held, leaving)}
    return plans, tuple(row for tag, row in held.items() if tag in dropped)


def _coming(plan: TagPlan, now: datetime) -> Kept:
    """What the rule itself has dropped, and is still the same there, is no newer for being copied again."""
    row, wanted = plan.row, plan.decision.wanted
    again = row is not None and row.dropped_at is not None and row.upstream_digest == plan.there
    if row is None or not again:
        return Kept(wanted, now, wanted)
    return Kept(row.digest if row.copied == wanted else wanted, row.brought_at, wanted)


def _not_kept(plan: TagPlan) -> TagPlan:
    reason = "the rule would not keep it"
    return replace(plan, decision=replace(plan.decision, action=Action.SKIP, change=None, reason=reason))


def _is_of(row: Mirrored, pair: Pair) -> bool:
    return (row.upstream, row.source) == _from(pair)


def _from(pair: Pair) -> tuple[str, Repository]:
    return pair.rule.source, pair.there
