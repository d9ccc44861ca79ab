"""Lists and counts of plugins by admission, which combines verdicts and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, or_, select, union

from mirror.oci import Digest, Repository, Tag
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import Admission, AdmissionState, Rejection
from mirror.store.catalog.child_rows import PLUGIN_BLOBS
from mirror.store.catalog.tables.access_tables import decisions, rejections
from mirror.store.catalog.tables.content_tables import (
    incomplete_manifests,
    manifests,
    origins,
    repositories,
    tags,
)
from mirror.store.records.admission.sql_decisions import COVERED, foremost, read_decision, read_rejection
from mirror.store.records.admission.sql_verdicts import CHOSEN, OF_BEFORE, read_verdict, undecided_by_policy
from mirror.store.store_services import StoreServices

_REJECTED_THERE = select(PLUGIN_BLOBS.c.repository, PLUGIN_BLOBS.c.manifest.label("digest")).join(
    rejections, rejections.c.fingerprint == PLUGIN_BLOBS.c.manifest
)
#: Plugins with a verdict, a decision, or a manifest digest that a rejection covers.
_KEYS = union(
    select(CHOSEN.c.repository, CHOSEN.c.digest), select(decisions.c.repository, decisions.c.digest), _REJECTED_THERE
).subquery("known")
_HELD_THERE = exists().where(
    repositories.c.name == _KEYS.c.repository,
    manifests.c.repository_id == repositories.c.id,
    manifests.c.digest == _KEYS.c.digest,
)
_COMING_THERE = exists().where(
    incomplete_manifests.c.repository == _KEYS.c.repository, incomplete_manifests.c.digest == _KEYS.c.digest
)
_IS_REJECTED = exists().where(rejections.c.fingerprint == _KEYS.c.digest)
_JOINED = _KEYS.join(
    CHOSEN, and_(CHOSEN.c.repository == _KEYS.c.repository, CHOSEN.c.digest == _KEYS.c.digest), isouter=True
).join(
    decisions, and_(decisions.c.repository == _KEYS.c.repository, decisions.c.digest == _KEYS.c.digest), isouter=True
)
#: A verdict on a plugin that is no longer held is not listed. A decision is: it holds again when the digest comes back.
_COUNTS = or_(_HELD_THERE, _COMING_THERE, decisions.c.approved.is_not(None))
_COUNTED = (
    select(CHOSEN.c.action, decisions.c.approved, _IS_REJECTED.label("rejected"), func.count())
    .select_from(_JOINED)
    .where(_COUNTS)
    .group_by(CHOSEN.c.action, decisions.c.approved, _IS_REJECTED)
)
_REJECTIONS = COVERED.where(rejections.c.fingerprint.in_(select(_KEYS.c.digest)))
_LISTED = select(_KEYS.c.repository, _KEYS.c.digest).select_from(_JOINED).where(_COUNTS)
_PULLED = exists().where(origins.c.repository == repositories.c.name, origins.c.target == tags.c.name)
#: Every tag with the digest that hosts get for it. For a pulled-through tag this is the digest that the upstream had
#: last, also while its manifest is incomplete.
_POINTING = union(
    select(repositories.c.name.label("repository"), tags.c.digest, tags.c.name.label("tag"))
    .select_from(tags.join(repositories, repositories.c.id == tags.c.repository_id))
    .where(~_PULLED),
    select(origins.c.repository, origins.c.digest, origins.c.target).where(origins.c.target != origins.c.digest),
).subquery("pointing")
_TAGS = (
    select(_POINTING)
    .join(_KEYS, and_(_KEYS.c.repository == _POINTING.c.repository, _KEYS.c.digest == _POINTING.c.digest))
    .order_by(_POINTING.c.tag)
)


class SqlAdmissions:
    """The admissions of plugins that are held or that a person has decided about."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog

    async def admissions(self, state: AdmissionState | None = None, policy: str | None = None) -> Sequence[Admission]:
        """List the admissions of plugins, the latest first.

        Args:
            state: list only plugins in this state; None for all.
            policy: fingerprint of the policy whose verdicts are listed. A plugin without a verdict of this policy is
                listed with its latest verdict.
        """
        whose = {"policy": _whose(policy)}

        def read(connection: Connection) -> list[Admission]:
            pointing: dict[tuple[str, str], list[Tag]] = {}
            for name, digest, tag in connection.execute(_TAGS, whose):
                pointing.setdefault((name, digest), []).append(Tag(tag))
            said = {(row.repository, row.digest): row for row in connection.execute(select(CHOSEN), whose)}
            decided = {(row.repository, row.digest): row for row in connection.execute(select(decisions))}
            covering: dict[str, list[Rejection]] = {}
            for row in connection.execute(_REJECTIONS, whose):
                covering.setdefault(row.fingerprint, []).append(read_rejection(row, [row.fingerprint]))
            found = [
                _put_together(key, said.get(key), decided.get(key), covering.get(key[1], ()), pointing.get(key, ()))
                for key in sorted((row.repository, row.digest) for row in connection.execute(_LISTED, whose))
            ]
            found.sort(key=lambda one: one.noted_at if one.in_force is None else one.in_force.at, reverse=True)
            return [one for one in found if state is None or one.state is state]

        return await self._catalog.read_long(read)

    async def count_admissions(self, policy: str | None = None) -> Mapping[AdmissionState, int]:
        """Count the admissions of plugins by state. ``policy`` is as for :meth:`admissions`."""
        counts: dict[AdmissionState, int] = dict.fromkeys(AdmissionState, 0)
        whose = {"policy": _whose(policy)}
        found = await self._catalog.read_long(lambda connection: connection.execute(_COUNTED, whose).all())
        for action, approved, rejected, count in found:
            said = None if action is None else PolicyAction(action)
            counts[AdmissionState.of(said, approved=approved, rejected=bool(rejected))] += count
        return counts


def _put_together(
    key: tuple[str, str],
    said: Row[Any] | None,
    decided: Row[Any] | None,
    covering: Sequence[Rejection],
    pointing: Sequence[Tag],
) -> Admission:
    repository, digest = Repository(key[0]), Digest.parse(key[1])
    decision = None if decided is None else read_decision(decided)
    rejection = foremost(covering, repository, digest)
    if said is not None:
        return read_verdict(said, decision=decision, rejection=rejection, tags=tuple(pointing))
    known = undecided_by_policy(repository, digest, decision, rejection)
    if known is None:
        raise AssertionError("a listed plugin without a verdict must have a decision")
    return replace(known, tags=tuple(pointing))


def _whose(policy: str | None) -> str:
    return OF_BEFORE if policy is None else policy
