"""Which plugins are let in, kept beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mirror.oci.digest import Digest
from mirror.oci.names import Repository, Tag
from mirror.plugin.policy import Action, Verdict
from mirror.registry.admissions import Admission, Decision, State
from mirror.store.registry import Store
from tests.contract.contents import push_image

HERE, OTHER = Repository("acme/driver"), Repository("acme/copy")
MOMENT = datetime(2026, 11, 24, 12, tzinfo=UTC)
ABSENT = Digest.of(b"absent")


def admission(digest: Digest, action: Action, number: int = 0, repository: Repository = HERE) -> Admission:
    return Admission(
        repository,
        digest,
        MOMENT + timedelta(seconds=number),
        verdict=Verdict(action, "a rule", "asks for much"),
        asked=(("mount", f"/{number}"),),
        grown=(("mount", "/"),),
    )


def decision(number: int, *, approved: bool = True) -> Decision:
    return Decision(approved, "alice", MOMENT + timedelta(seconds=number), "a note")


async def test_what_the_policy_says_outlives_the_process(folder: Path) -> None:
    noted = admission(ABSENT, Action.HOLD)
    async with Store.open(folder) as store:
        assert await store.admission(HERE, ABSENT) is None
        await store.note_verdict(noted)
    async with Store.open(folder) as store:
        assert await store.admission(HERE, ABSENT) == noted
        assert await store.admission(OTHER, ABSENT) is None


async def test_a_decision_stays_whatever_the_policy_says_later(store: Store) -> None:
    await store.note_verdict(admission(ABSENT, Action.HOLD))
    decided = await store.decide(HERE, ABSENT, decision(1))
    assert (decided.state, decided.decision) == (State.APPROVED, decision(1))
    await store.note_verdict(admission(ABSENT, Action.ALLOW))
    known = await store.admission(HERE, ABSENT)
    assert known is not None
    assert known.decision == decision(1)


async def test_a_decision_moves_the_count_that_others_go_by(folder: Path) -> None:
    async with Store.open(folder) as store, Store.open(folder) as other:
        before = other.admission_generation
        await store.decide(HERE, ABSENT, decision(1))
        assert other.admission_generation != before
        known = await other.admission(HERE, ABSENT)
    assert known is not None
    assert (known.state, known.noted_at, known.asked) == (State.APPROVED, decision(1).at, None)


async def test_the_last_one_that_was_let_in(store: Store) -> None:
    digests = [Digest.of(bytes([number])) for number in range(6)]
    assert await store.last_admitted(HERE) is None
    for number, action in enumerate([Action.ALLOW, Action.WARN, Action.HOLD, Action.DENY, Action.HOLD]):
        await store.note_verdict(admission(digests[number], action, number))
    await store.note_verdict(admission(digests[5], Action.ALLOW, 9, OTHER))
    assert await store.last_admitted(HERE) == (("mount", "/1"),)
    await store.decide(HERE, digests[4], decision(10, approved=False))
    assert await store.last_admitted(HERE) == (("mount", "/1"),)
    await store.decide(HERE, digests[2], decision(11))
    assert await store.last_admitted(HERE) == (("mount", "/2"),)
    await store.decide(HERE, digests[1], decision(12, approved=False))
    await store.decide(HERE, digests[2], decision(13, approved=False))
    assert await store.last_admitted(HERE) == (("mount", "/0"),)


async def test_the_list_is_of_what_is_here_or_was_decided_about(store: Store) -> None:
    held = (await push_image(store, "a plugin", "1", "2", repository=HERE)).digest
    await store.note_verdict(admission(held, Action.HOLD, 1))
    await store.note_verdict(admission(ABSENT, Action.HOLD, 2))
    await store.note_verdict(admission(held, Action.ALLOW, 3, OTHER))
    (listed,) = await store.admissions()
    assert (listed.digest, listed.state, listed.tags) == (held, State.HELD, (Tag("1"), Tag("2")))
    await store.decide(HERE, ABSENT, decision(5, approved=False))
    assert [one.digest for one in await store.admissions()] == [ABSENT, held]
    assert [one.digest for one in await store.admissions(State.REJECTED)] == [ABSENT]
    assert await store.admissions(State.DENIED) == []
    counted = await store.count_admissions()
    assert {state: count for state, count in counted.items() if count} == {State.REJECTED: 1, State.HELD: 1}
    assert set(counted) == set(State)
