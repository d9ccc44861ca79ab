"""Verdicts of policies on plugins, one of each policy on each plugin."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, case, delete, exists, func, or_, select

from mirror.oci import Digest, Repository
from mirror.plugin.policy.admission_policy import PolicyVerdict
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admission.admissions import Admission, AdmissionDecision, Rejection
from mirror.records.admission.verdicts import NO_POLICY, Baseline
from mirror.records.changes.change import Change, ChangeKind
from mirror.store.catalog import rows
from mirror.store.catalog.change_rows import note_change
from mirror.store.catalog.child_rows import PLUGIN_BLOBS
from mirror.store.catalog.tables.access_tables import decisions, rejections, verdicts
from mirror.store.records.admission import sql_decisions as decided
from mirror.store.store_services import StoreServices

#: The fingerprint in verdicts of a program version that had no fingerprints of policies.
OF_BEFORE = ""

_NAME: BindParameter[str] = bindparam("name")
_WANTED: BindParameter[str] = bindparam("wanted")
_POLICY: BindParameter[str] = bindparam("policy")
_LET_IN = verdicts.c.action.in_([PolicyAction.ALLOW.value, PolicyAction.WARN.value])
_OF_THIS = and_(verdicts.c.repository == _NAME, verdicts.c.digest == _WANTED)
#: The verdict of the policy, else one without a fingerprint: the empty text sorts last here.
_ONE = select(verdicts).where(_OF_THIS, verdicts.c.policy.in_([_POLICY, OF_BEFORE])).order_by(verdicts.c.policy.desc())
_LATEST = select(verdicts).where(_OF_THIS).order_by(verdicts.c.noted_at.desc(), verdicts.c.policy)

_OTHERS = and_(verdicts.c.repository == _NAME, verdicts.c.digest != _WANTED, verdicts.c.asked.is_not(None))
_DECIDED = and_(decisions.c.repository == verdicts.c.repository, decisions.c.digest == verdicts.c.digest)
_REJECTED = exists().where(rejections.c.fingerprint == verdicts.c.digest)
_HELD = exists().where(PLUGIN_BLOBS.c.repository == verdicts.c.repository, PLUGIN_BLOBS.c.manifest == verdicts.c.digest)
_THIS_POLICYS = verdicts.alias("this_policys")
_DENIED = exists().where(
    _THIS_POLICYS.c.repository == verdicts.c.repository,
    _THIS_POLICYS.c.digest == verdicts.c.digest,
    _THIS_POLICYS.c.policy == _POLICY,
    _THIS_POLICYS.c.action == PolicyAction.DENY.value,
)
#: Privileges of the plugin of the repository that this policy or a person has accepted last.
_LAST = (
    select(verdicts.c.asked)
    .join(decisions, _DECIDED, isouter=True)
    .where(_OTHERS, ~_REJECTED, ~_DENIED)
    .where(
        or_(
            decisions.c.approved.is_(True),
            and_(decisions.c.approved.is_(None), verdicts.c.policy == _POLICY, _LET_IN),
        )
    )
    .order_by(func.coalesce(decisions.c.decided_at, verdicts.c.noted_at).desc())
    .limit(1)
)
_OTHERS_GONE = (
    select(verdicts.c.digest).where(verdicts.c.repository == _NAME, verdicts.c.digest != _WANTED, ~_HELD).limit(1)
)
#: New privileges of the plugin as other policies recorded them, the latest first.
_RECORDED = (
    select(verdicts.c.grown, _LET_IN.label("let_in"))
    .where(_OF_THIS, verdicts.c.policy != _POLICY)
    .order_by(verdicts.c.noted_at.desc())
)
_NO_LONGER = delete(verdicts).where(
    verdicts.c.repository == _NAME, verdicts.c.digest == _WANTED, verdicts.c.policy == _POLICY
)

#: One verdict for each plugin: that of the given policy, else the latest.
_PLACE = (
    func.row_number()
    .over(
        partition_by=[verdicts.c.repository, verdicts.c.digest],
        order_by=[case((verdicts.c.policy == _POLICY, 0), else_=1), verdicts.c.noted_at.desc(), verdicts.c.policy],
    )
    .label("place")
)
_RANKED = select(verdicts, _PLACE).subquery("ranked")
CHOSEN = select(_RANKED).where(_RANKED.c.place == 1).subquery("chosen")

_KINDS: Final = {
    PolicyAction.ALLOW: ChangeKind.PLUGIN_ADMITTED,
    PolicyAction.WARN: ChangeKind.PLUGIN_ADMITTED,
    PolicyAction.HOLD: ChangeKind.PLUGIN_HELD,
    PolicyAction.DENY: ChangeKind.PLUGIN_DENIED,
}


class SqlVerdicts:
    """Implements :class:`mirror.records.admission.verdicts.Verdicts`."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._cache = services.cache

    @property
    def admission_generation(self) -> int | None:
        return self._cache.generation

    async def admission(
        self,
        repository: Repository,
        digest: Digest,
        policy: str | None = None,
        fingerprints: Collection[str] | None = None,
    ) -> Admission | None:
        known_by = {str(digest), *(fingerprints or ())}
        return await self._catalog.read(lambda connection: find(connection, repository, digest, policy, known_by))

    async def baseline(self, repository: Repository, digest: Digest, policy: str) -> Baseline:
        wanted = {"name": repository.name, "wanted": str(digest), "policy": policy}

        def read(connection: Connection) -> Baseline:
            last = connection.execute(_LAST, wanted).scalar_one_or_none()
            recorded = connection.execute(_RECORDED, wanted).all()
            gone = connection.execute(_OTHERS_GONE, wanted).scalar_one_or_none()
            return Baseline(
                None if last is None else frozenset(pairs(last)),
                next((pairs(row.grown) for row in recorded if row.grown or row.let_in), None),
                gone is not None,
            )

        return await self._catalog.read(read)

    async def note_verdict(self, admission: Admission, policy: str) -> None:
        verdict, asked = admission.verdict, admission.asked
        if verdict is None:
            raise ValueError("the admission has no verdict to record")
        name, digest = admission.repository.name, str(admission.digest)
        row = {
            "repository": name,
            "digest": digest,
            "policy": policy,
            "action": verdict.action.value,
            "rule": verdict.rule,
            "reason": verdict.reason,
            "asked": None if asked is None else [list(pair) for pair in asked],
            "grown": [list(pair) for pair in admission.grown],
            "noted_at": admission.noted_at,
        }

        def note(connection: Connection) -> None:
            rows.put(connection, verdicts, row)
            subject = f"{name}@{digest}"
            told = Change(_KINDS[verdict.action], subject, name, after=digest, rule=verdict.rule, reason=verdict.reason)
            note_change(connection, admission.noted_at, told)
            # A verdict without a fingerprint belongs to the policy that judges the plugin first, which is this one.
            if policy not in {NO_POLICY, OF_BEFORE}:
                connection.execute(_NO_LONGER, {"name": name, "wanted": digest, "policy": OF_BEFORE})

        await self._catalog.write(note)

    async def forget_verdict(self, repository: Repository, digest: Digest, policy: str) -> None:
        wanted = {"name": repository.name, "wanted": str(digest), "policy": policy}
        await self._catalog.write(lambda connection: connection.execute(_NO_LONGER, wanted))


def find(
    connection: Connection, repository: Repository, digest: Digest, policy: str | None, fingerprints: Collection[str]
) -> Admission | None:
    """Find the admission of a plugin, as :meth:`SqlVerdicts.admission` does."""
    wanted = {"name": repository.name, "wanted": str(digest)}
    if policy is None:
        row = connection.execute(_LATEST, wanted).first()
    else:
        row = connection.execute(_ONE, {**wanted, "policy": policy}).first()
        if policy == NO_POLICY and row is not None and row.policy == OF_BEFORE:
            row = None
    decision = decided.find_decision(connection, repository, digest)
    rejection = decided.find_rejection(connection, repository, digest, fingerprints)
    if row is not None:
        return read_verdict(row, decision=decision, rejection=rejection)
    return undecided_by_policy(repository, digest, decision, rejection)


def undecided_by_policy(
    repository: Repository, digest: Digest, decision: AdmissionDecision | None, rejection: Rejection | None
) -> Admission | None:
    """Return the admission of a plugin that no policy has judged. None if no person has decided about it either."""
    known = decision if rejection is None else rejection.decision
    return None if known is None else Admission(repository, digest, known.at, decision=decision, rejection=rejection)


def read_verdict(row: Row[Any], **more: Any) -> Admission:
    """Read a row of the table or of :data:`CHOSEN`. ``more`` holds further attributes of :class:`Admission`."""
    return Admission(
        Repository(row.repository),
        Digest.parse(row.digest),
        row.noted_at,
        verdict=PolicyVerdict(PolicyAction(row.action), row.rule, row.reason),
        policy=row.policy,
        asked=None if row.asked is None else pairs(row.asked),
        grown=pairs(row.grown),
        **more,
    )


def pairs(value: list[list[str]]) -> tuple[RequestedPrivilege, ...]:
    """Read the requested privileges of a row."""
    return tuple((name, asked) for name, asked in value)
