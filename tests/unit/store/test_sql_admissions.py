"""Judgements of policies and decisions of people about plugins, in the catalog."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import Denied
from mirror.plugin.policy.admission_policy import PolicyVerdict
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import Admission, AdmissionDecision, AdmissionState, Subject
from mirror.records.admission.verdicts import NO_POLICY, Baseline
from mirror.store.registry import Store
from tests.support.builders import push_image

HERE, OTHER = Repository("acme/driver"), Repository("acme/copy")
MOMENT = datetime(2026, 11, 24, 12, tzinfo=UTC)
ABSENT = Digest.of(b"absent")
OURS, THEIRS = "our policy", "their policy"


def admission(digest: Digest, action: PolicyAction, number: int = 0, repository: Repository = HERE) -> Admission:
    return Admission(
        repository,
        digest,
        MOMENT + timedelta(seconds=number),
        verdict=PolicyVerdict(action, "a rule", "asks for much"),
        policy=OURS,
        asked=(("mount", f"/{number}"),),
        grown=(("mount", "/"),),
    )


def decision(number: int, *, approved: bool = True) -> AdmissionDecision:
    return AdmissionDecision(approved, "alice", MOMENT + timedelta(seconds=number), "a note")


async def decide(
    store: Store,
    digest: Digest,
    decided: AdmissionDecision,
    *more: str,
    repository: Repository = HERE,
    overrule: bool = False,
) -> None:
    await store.records.decisions.decide(
        repository, [Subject(digest, (str(digest), *more))], decided, overrule=overrule
    )


async def state(store: Store, digest: Digest, *more: str, repository: Repository = HERE) -> AdmissionState | None:
    known = await store.records.verdicts.admission(repository, digest, OURS, [str(digest), *more])
    return None if known is None else known.state


async def test_what_a_policy_says_outlives_the_process(folder: Path) -> None:
    noted = admission(ABSENT, PolicyAction.HOLD)
    async with Store.open(folder) as store:
        assert await store.records.verdicts.admission(HERE, ABSENT, OURS) is None
        await store.records.verdicts.note_verdict(noted, OURS)
    async with Store.open(folder) as store:
        assert await store.records.verdicts.admission(HERE, ABSENT, OURS) == noted
        assert await store.records.verdicts.admission(OTHER, ABSENT, OURS) is None


async def test_a_verdict_is_that_of_one_policy(store: Store) -> None:
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.HOLD), OURS)
    assert await store.records.verdicts.admission(HERE, ABSENT, THEIRS) is None
    assert await store.records.verdicts.admission(HERE, ABSENT, NO_POLICY) is None
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.ALLOW, 1), THEIRS)
    for policy, action in ((OURS, PolicyAction.HOLD), (THEIRS, PolicyAction.ALLOW), (None, PolicyAction.ALLOW)):
        known = await store.records.verdicts.admission(HERE, ABSENT, policy)
        assert known is not None
        assert known.verdict is not None
        assert known.verdict.action is action
    await store.records.verdicts.forget_verdict(HERE, ABSENT, THEIRS)
    assert await store.records.verdicts.admission(HERE, ABSENT, THEIRS) is None
    assert await state(store, ABSENT) is AdmissionState.HELD


async def test_a_verdict_of_before_belongs_to_whoever_judges_first(store: Store) -> None:
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.HOLD), "")
    for policy in (OURS, THEIRS):
        known = await store.records.verdicts.admission(HERE, ABSENT, policy)
        assert known is not None
        assert known.policy == ""
    assert await store.records.verdicts.admission(HERE, ABSENT, NO_POLICY) is None
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.DENY), NO_POLICY)
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.ALLOW), OURS)
    assert await state(store, ABSENT) is AdmissionState.ADMITTED
    assert await store.records.verdicts.admission(HERE, ABSENT, THEIRS) is None


async def test_a_decision_stays_whatever_a_policy_says_later(store: Store) -> None:
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.HOLD), OURS)
    await decide(store, ABSENT, decision(1))
    assert await state(store, ABSENT) is AdmissionState.APPROVED
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.ALLOW), OURS)
    known = await store.records.verdicts.admission(HERE, ABSENT, OURS)
    assert known is not None
    assert known.decision == decision(1)


async def test_a_decision_moves_the_count_that_others_go_by(folder: Path) -> None:
    async with Store.open(folder) as store, Store.open(folder) as other:
        before = other.records.verdicts.admission_generation
        await decide(store, ABSENT, decision(1))
        assert other.records.verdicts.admission_generation != before
        known = await other.records.verdicts.admission(HERE, ABSENT, OURS)
    assert known is not None
    assert (known.state, known.noted_at, known.asked) == (AdmissionState.APPROVED, decision(1).at, None)


async def test_a_rejection_covers_every_fingerprint_under_every_name(store: Store) -> None:
    await decide(store, ABSENT, decision(1, approved=False), "sha512:x", "content-sha256:y")
    assert await state(store, ABSENT) is AdmissionState.REJECTED
    other = Digest.of(b"other bytes")
    assert await state(store, other, repository=OTHER) is None
    for covered in ("sha512:x", "content-sha256:y", str(ABSENT)):
        known = await store.records.verdicts.admission(OTHER, other, OURS, [covered, "another"])
        assert known is not None
        assert known.rejection is not None
        assert (known.state, known.rejection.repository, known.rejection.digest) == (
            AdmissionState.REJECTED,
            HERE,
            ABSENT,
        )
        assert known.rejection.matched == {covered}
        assert f"has the content of acme/driver@{ABSENT}, which was rejected by alice" in known.sentence
        assert known.to_json()["rejected_as"] == f"acme/driver@{ABSENT}"


async def test_a_rejection_overrules_approvals_under_every_name_until_it_is_lifted(store: Store) -> None:
    await decide(store, ABSENT, decision(1), repository=OTHER)
    await decide(store, ABSENT, decision(2, approved=False), "content")
    assert await state(store, ABSENT, repository=OTHER) is AdmissionState.REJECTED

    for repository in (HERE, OTHER):
        with pytest.raises(Denied, match=r"was rejected as acme/driver@sha256:\S+ by alice on .*--overrule"):
            await decide(store, ABSENT, decision(3), repository=repository)
    variant = Digest.of(b"the same content in other words")
    with pytest.raises(Denied, match="--overrule"):
        await decide(store, variant, decision(3), "content", repository=OTHER)
    assert await state(store, ABSENT) is AdmissionState.REJECTED

    await decide(store, variant, decision(4), "content", repository=OTHER, overrule=True)
    assert await state(store, variant, "content", repository=OTHER) is AdmissionState.APPROVED
    assert await state(store, ABSENT, "content") is None  # the rejection is lifted; nobody has approved it here
    assert await state(store, ABSENT, repository=OTHER) is AdmissionState.APPROVED


async def test_of_several_nothing_is_decided_where_one_was_rejected(store: Store) -> None:
    other = Digest.of(b"other")
    await decide(store, ABSENT, decision(1, approved=False))
    with pytest.raises(Denied):
        await store.records.decisions.decide(HERE, [Subject.absent(other), Subject.absent(ABSENT)], decision(2))
    assert await state(store, other) is None


async def test_a_rejection_learns_what_else_is_the_same_content(store: Store) -> None:
    await decide(store, ABSENT, decision(1, approved=False))
    known = await store.records.verdicts.admission(HERE, ABSENT, OURS)
    assert known is not None
    assert known.rejection is not None
    await store.records.decisions.extend_rejection(known.rejection, ["content"])
    variant = Digest.of(b"variant")
    assert await state(store, variant, "content") is AdmissionState.REJECTED
    await decide(store, ABSENT, decision(2), overrule=True)
    await store.records.decisions.extend_rejection(known.rejection, ["content"])  # too late: it was lifted
    assert await state(store, variant, "content") is None


async def test_the_last_one_that_was_let_in(store: Store) -> None:
    digests = [Digest.of(bytes([number])) for number in range(6)]

    async def last(policy: str = OURS) -> frozenset[tuple[str, str]] | None:
        return (await store.records.verdicts.baseline(HERE, ABSENT, policy)).asked

    assert await store.records.verdicts.baseline(HERE, ABSENT, OURS) == Baseline()
    for number, action in enumerate(
        [PolicyAction.ALLOW, PolicyAction.WARN, PolicyAction.HOLD, PolicyAction.DENY, PolicyAction.HOLD]
    ):
        await store.records.verdicts.note_verdict(admission(digests[number], action, number), OURS)
    await store.records.verdicts.note_verdict(admission(digests[5], PolicyAction.ALLOW, 9, OTHER), OURS)
    assert await last() == {("mount", "/1")}
    assert await last(THEIRS) is None
    await decide(store, digests[4], decision(10, approved=False))
    assert await last() == {("mount", "/1")}
    await decide(store, digests[3], decision(10))  # an approval does not admit a plugin that the policy denies
    assert await last() == {("mount", "/1")}
    await decide(store, digests[2], decision(11))
    assert await last() == await last(THEIRS) == {("mount", "/2")}  # by a person, for every policy
    await decide(store, digests[1], decision(12, approved=False))
    await decide(store, digests[2], decision(13, approved=False))
    assert await last() == {("mount", "/0")}
    assert (
        await store.records.verdicts.baseline(HERE, digests[0], OURS)
    ).asked is None  # a plugin is not its own baseline


async def test_what_other_policies_have_said_is_told_apart(store: Store) -> None:
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.HOLD), THEIRS)
    assert await store.records.verdicts.baseline(HERE, ABSENT, OURS) == Baseline(recorded=(("mount", "/"),))
    assert await store.records.verdicts.baseline(HERE, Digest.of(b"new"), OURS) == Baseline(others_gone=True)
    held = (await push_image(store, "a plugin", "1", "2", repository=OTHER)).digest
    await store.records.verdicts.note_verdict(
        replace(admission(held, PolicyAction.ALLOW, repository=OTHER), grown=()), THEIRS
    )
    assert await store.records.verdicts.baseline(OTHER, held, OURS) == Baseline(recorded=())
    assert await store.records.verdicts.baseline(OTHER, Digest.of(b"new"), OURS) == Baseline(others_gone=True)


async def test_the_list_is_of_what_is_here_or_was_decided_about(store: Store) -> None:
    held = (await push_image(store, "a plugin", "1", "2", repository=HERE)).digest
    await store.records.verdicts.note_verdict(admission(held, PolicyAction.HOLD, 1), OURS)
    await store.records.verdicts.note_verdict(admission(ABSENT, PolicyAction.HOLD, 2), OURS)
    await store.records.verdicts.note_verdict(admission(held, PolicyAction.ALLOW, 3, OTHER), OURS)
    (listed,) = await store.records.admissions.admissions(policy=OURS)
    assert (listed.digest, listed.state, listed.tags) == (held, AdmissionState.HELD, (Tag("1"), Tag("2")))
    await decide(store, ABSENT, decision(5, approved=False))
    assert [one.digest for one in await store.records.admissions.admissions()] == [ABSENT, held]
    assert [one.digest for one in await store.records.admissions.admissions(AdmissionState.REJECTED)] == [ABSENT]
    assert await store.records.admissions.admissions(AdmissionState.DENIED) == []
    counted = await store.records.admissions.count_admissions(OURS)
    assert {state: count for state, count in counted.items() if count} == {
        AdmissionState.REJECTED: 1,
        AdmissionState.HELD: 1,
    }
    assert set(counted) == set(AdmissionState)


async def test_the_list_tells_the_verdict_of_the_policy_else_the_latest(store: Store) -> None:
    held = (await push_image(store, "a plugin", "1", repository=HERE)).digest
    await store.records.verdicts.note_verdict(admission(held, PolicyAction.HOLD, 1), OURS)
    await store.records.verdicts.note_verdict(admission(held, PolicyAction.ALLOW, 2), THEIRS)
    for policy, state in (
        (OURS, AdmissionState.HELD),
        (THEIRS, AdmissionState.ADMITTED),
        ("a third", AdmissionState.ADMITTED),
    ):
        (listed,) = await store.records.admissions.admissions(policy=policy)
        assert listed.state is state
        assert (await store.records.admissions.count_admissions(policy))[state] == 1


async def test_many_are_listed_with_as_many_statements_as_one(store: Store) -> None:
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(statement)

    taken: list[int] = []
    for number in range(3):
        digest = Digest.of(bytes([number]))
        for repository in (HERE, OTHER):
            await store.records.verdicts.note_verdict(admission(digest, PolicyAction.ALLOW, number, repository), OURS)
            await decide(store, digest, decision(number), repository=repository, overrule=True)
        await decide(store, digest, decision(9 + number, approved=False))
        statements.clear()
        event.listen(Engine, "before_cursor_execute", count)
        found = await store.records.admissions.admissions(policy=OURS)
        event.remove(Engine, "before_cursor_execute", count)
        taken.append(len(statements))
        assert len(found) == 2 * (number + 1)
        for one in found:
            assert one.rejection is not None
            assert (one.state, one.rejection.repository) == (AdmissionState.REJECTED, HERE)
            assert (one.rejected_elsewhere is None) == (one.repository == HERE)
            assert one.rejection.matched == {str(one.digest)}
    assert len(set(taken)) == 1
