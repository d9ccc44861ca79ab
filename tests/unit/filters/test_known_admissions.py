"""Admissions in memory: those that are served stay, those that are withheld are judged again."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mirror.filters.admission.known_admissions import KnownAdmissions
from mirror.oci import Digest
from mirror.plugin.policy.admission_policy import PolicyVerdict
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import Admission
from tests.support.admission import HERE
from tests.support.clocks import START, HandClock

DIGEST = Digest.of(b"a manifest")
GENERATION = 7


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def known(clock: HandClock) -> KnownAdmissions:
    return KnownAdmissions(cast(Any, SimpleNamespace(admission_generation=GENERATION)), clock)


def judged(action: PolicyAction, until: timedelta | None = None) -> Admission:
    end = None if until is None else START + until
    verdict = PolicyVerdict(action, "store", "is what it is", until=end)
    return Admission(HERE, DIGEST, START, verdict=verdict)


def test_what_is_served_stays(known: KnownAdmissions, clock: HandClock) -> None:
    known.keep(GENERATION, judged(PolicyAction.ALLOW))
    clock.advance(days=1000)
    assert known.is_served(HERE, DIGEST)


@pytest.mark.parametrize("action", [PolicyAction.HOLD, PolicyAction.DENY])
def test_what_is_withheld_is_judged_again_after_a_minute(
    known: KnownAdmissions, clock: HandClock, action: PolicyAction
) -> None:
    known.keep(GENERATION, judged(action))
    clock.advance(seconds=59)
    assert known.find(HERE, DIGEST) is not None
    assert not known.is_served(HERE, DIGEST)
    clock.advance(seconds=1)
    assert known.find(HERE, DIGEST) is None


@pytest.mark.parametrize(("until", "ends"), [(timedelta(seconds=5), 5), (timedelta(days=7), 60)])
def test_a_verdict_with_an_end_is_not_kept_beyond_it(
    known: KnownAdmissions, clock: HandClock, until: timedelta, ends: int
) -> None:
    known.keep(GENERATION, judged(PolicyAction.HOLD, until))
    clock.advance(seconds=ends - 1)
    assert known.find(HERE, DIGEST) is not None
    clock.advance(seconds=1)
    assert known.find(HERE, DIGEST) is None


@pytest.mark.parametrize("kept", [GENERATION - 1, GENERATION + 1])
def test_another_generation_of_the_records_counts_for_nothing(known: KnownAdmissions, kept: int) -> None:
    known.keep(kept, judged(PolicyAction.ALLOW))
    assert known.find(HERE, DIGEST) is None
    assert not known.is_served(HERE, DIGEST)
