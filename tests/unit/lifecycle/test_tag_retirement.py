"""Retention of pushed tags in a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.lifecycle.collector import Collector
from mirror.lifecycle.tag_retention import RetentionRule, TagRetention
from mirror.lifecycle.tag_retirement import Retirement, RetirementResult
from mirror.oci import Repository, Tag
from mirror.oci.errors import NotFound
from mirror.oci.name_pattern import NamePattern
from mirror.plugin.policy.admission_policy import PolicyVerdict
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import Admission, AdmissionDecision, Subject
from mirror.records.lifecycle.pins import Pin
from mirror.records.lifecycle.pull_counts import PullCount
from mirror.records.lifecycle.pushed_tags import none_immutable
from mirror.records.lifecycle.reviews import CollectionRules, Grace
from mirror.records.platform_rules import PlatformTags
from mirror.registry.listing import all_tags
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from tests.support.builders import REPOSITORY, push_image
from tests.support.clocks import HandClock

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data", clock=clock) as opened:
        yield opened


def retirement(store: Store, clock: HandClock, *, pattern: str = "**", **keep) -> Retirement:
    rules = [RetentionRule(NamePattern(pattern), TagRetention(**keep))]
    return Retirement(store.records.pushed_tags, rules, PlatformTags(), none_immutable, DAY, clock)


async def tags_of(store: Store, repository: Repository = REPOSITORY) -> list[str]:
    return [tag.name async for tag in all_tags(store, repository)]


def names(result: RetirementResult) -> list[str]:
    return [one.tag.tag.name for one in result.retired]


async def test_an_old_tag_goes_and_its_content_after_the_grace_without_the_time_for_untagged(store, clock):
    old = await push_image(store, "old", "1.0")
    await push_image(store, "new", "2.0")
    clock.advance(days=2)
    assert names(await retirement(store, clock, newest=1).run()) == ["1.0"]
    assert await tags_of(store) == ["2.0"]
    rules = CollectionRules(Grace(), untagged_default=timedelta(days=30))

    async def none_uploading() -> list[str]:
        return []

    collector = Collector(store.records.reviews, rules, none_uploading, clock)
    await collector.collect()
    assert (await store.resolve(REPOSITORY, old.digest)).digest == old.digest
    clock.advance(hours=25)
    await collector.collect()
    with pytest.raises(NotFound):
        await store.resolve(REPOSITORY, old.digest)


async def test_tags_of_rules_and_of_pull_through_are_never_dropped(store, clock):
    with working_for("rule"):
        await push_image(store, "mirrored", "1.0")
    await push_image(store, "pushed", "2.0")
    await push_image(store, "newer", "3.0")
    clock.advance(days=2)
    assert names(await retirement(store, clock, newest=1).run()) == ["2.0"]
    assert await tags_of(store) == ["1.0", "3.0"]


async def test_a_pinned_tag_and_a_tag_of_a_pinned_digest_stay(store, clock):
    await push_image(store, "one", "1.0")
    two = await push_image(store, "two", "2.0")
    await push_image(store, "three", "3.0")
    for target in (Tag("1.0"), two.digest):
        await store.records.pins.pin(Pin(REPOSITORY, target, "anna", clock.now()))
    clock.advance(days=2)
    assert names(await retirement(store, clock, newest=1).run()) == []


async def test_an_approved_plugin_and_one_that_waits_for_a_decision_stay(store, clock):
    approved, waiting, rejected, _ = [await push_image(store, tag, tag) for tag in ("1.0", "2.0", "3.0", "4.0")]
    for one in (approved, waiting, rejected):
        verdict = PolicyVerdict(PolicyAction.HOLD, "a-rule", "asks for much")
        await store.records.verdicts.note_verdict(Admission(REPOSITORY, one.digest, clock.now(), verdict), "a policy")
    for one in (approved, rejected):
        decision = AdmissionDecision(one is approved, "anna", clock.now(), "")
        await store.records.decisions.decide(REPOSITORY, [Subject.absent(one.digest)], decision)
    clock.advance(days=2)
    assert names(await retirement(store, clock, newest=1).run()) == ["3.0"]


async def test_a_tag_that_is_pushed_or_pinned_after_the_decision_stays(store, clock, monkeypatch):
    await push_image(store, "one", "1.0")
    await push_image(store, "two", "1.1")
    await push_image(store, "last", "2.0")
    clock.advance(days=2)
    retire = store.records.pushed_tags.retire

    async def meanwhile(tags):
        await push_image(store, "one", "1.0")
        await store.records.pins.pin(Pin(REPOSITORY, Tag("1.1"), "anna", clock.now()))
        return await retire(tags)

    monkeypatch.setattr(store.records.pushed_tags, "retire", meanwhile)
    assert names(await retirement(store, clock, newest=1).run()) == []
    assert await tags_of(store) == ["1.0", "1.1", "2.0"]


async def test_only_repositories_of_a_rule_are_touched(store, clock):
    for repository in (REPOSITORY, Repository("acme/app")):
        for name in ("1.0", "2.0"):
            await push_image(store, name, name, repository=repository)
    clock.advance(days=2)
    found = (await retirement(store, clock, pattern="acme/*", newest=1).run()).retired
    assert [one.name for one in found] == ["acme/app:1.0"]


async def test_pulls_count_from_the_time_at_which_their_recording_began(store, clock):
    await push_image(store, "used", "used")
    await push_image(store, "unused", "unused")
    clock.advance(days=400)
    retiring = retirement(store, clock, pulled_within=90 * DAY)
    assert await retiring.run() == RetirementResult([], [("**", None)])
    await store.records.pushed_tags.note_recording()
    began = clock.now()
    clock.advance(days=89)
    assert await retiring.run() == RetirementResult([], [("**", began + 90 * DAY)])
    await store.records.pulls.record_pulls({(REPOSITORY, Tag("used")): PullCount(clock.now())})
    clock.advance(days=2)
    assert names(await retiring.run()) == ["unused"]


async def test_recording_is_known_since_it_began(store, clock):
    tags = store.records.pushed_tags
    await tags.note_recording()
    clock.advance(days=1)
    await tags.note_recording()
    assert await tags.pulls_known_since() == clock.now() - DAY


async def test_the_history_of_a_tag_tells_that_retention_dropped_it(store, clock):
    pushed = await push_image(store, "one", "1.0")
    await push_image(store, "two", "2.0")
    clock.advance(days=2)
    await retirement(store, clock, newest=1).run()
    (event,) = await store.records.sync_runs.history(REPOSITORY, Tag("1.0"), 10)
    assert (event.change, event.before, event.source) == ("dropped", pushed.digest, "retention")


async def test_many_tags_are_dropped_in_steps(store, clock, monkeypatch):
    first = await push_image(store, "one", "1.0.0")
    await store.put_manifest(REPOSITORY, first, [Tag(f"1.0.{number}") for number in range(1, 251)])
    clock.advance(days=2)
    steps: list[int] = []
    retire = store.records.pushed_tags.retire
    monkeypatch.setattr(store.records.pushed_tags, "retire", lambda tags: steps.append(len(tags)) or retire(tags))
    assert len((await retirement(store, clock, newest=1).run()).retired) == 250
    assert steps == [100, 100, 50]
    assert await tags_of(store) == ["1.0.250"]
