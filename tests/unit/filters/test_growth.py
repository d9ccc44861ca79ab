"""Growth of a plugin's privileges beyond the version that a policy or a person admitted last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mirror.filters.admission import admission_controller
from mirror.oci import Descriptor, Digest, Manifest, Tag, media_types
from mirror.plugin.policy.admission_policy import Policy, PolicyRule
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.plugin.policy.privilege_pattern import PrivilegePattern, describe_privilege
from mirror.records.admission.admissions import AdmissionState
from mirror.records.origins import Origin
from tests.support.admission import GROWN, HERE, HOST, ROOT, World

FIRST, SECOND, THIRD = Tag("1"), Tag("2"), Tag("3")
STRICT, WEAK = Policy([GROWN]), Policy([PolicyRule("all", PolicyAction.ALLOW)])


async def new(world: World, manifest: Manifest) -> list[str]:
    """Return the recorded growth of a plugin."""
    known = await world.known(manifest)
    assert known is not None
    return list(map(describe_privilege, known.grown))


async def push(world: World, config: dict[str, Any], tag: Tag) -> Manifest:
    manifest, _ = await world.push(config, tag)
    return manifest


async def test_the_first_one_in_an_empty_repository_has_nothing_new(world: World) -> None:
    world.follow(STRICT)
    first = await push(world, ROOT, FIRST)
    assert await world.gives(FIRST)
    assert await new(world, first) == []


async def test_what_the_repository_holds_unjudged_is_the_baseline(world: World) -> None:
    world.follow(None)
    await push(world, HOST, FIRST)
    world.follow(STRICT)
    second = await push(world, ROOT, SECOND)
    assert not await world.gives(SECOND)
    assert await new(world, second) == ["mount: /"]
    assert await world.gives(FIRST)


async def test_so_it_is_where_both_were_there_before_the_policy(world: World) -> None:
    world.follow(None)
    for tag, config in ((FIRST, {}), (SECOND, HOST), (THIRD, ROOT)):
        await push(world, config | {"Description": str(tag)}, tag)
    await push(world, {"Description": "1"}, FIRST)  # a repeated push does not make it the latest
    world.follow(STRICT)
    assert not await world.gives(THIRD)
    assert not await world.gives(SECOND)
    assert await world.gives(FIRST)
    assert await new(world, await world.store.get_manifest(HERE, THIRD)) == ["network: host", "mount: /"]


async def test_what_is_being_pulled_through_counts_as_held(world: World) -> None:
    first = await world.manifest(HOST)
    layer = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(b"not here yet"), 12)
    first = await world.manifest(HOST, layers=[layer.to_json()])
    now = datetime.now(UTC)
    await world.store.records.incomplete.keep_incomplete(
        HERE, first, Origin("hub", HERE, first.digest, now, now), FIRST
    )
    world.follow(STRICT)
    second = await push(world, ROOT, SECOND)
    assert not await world.gives(SECOND)
    assert await new(world, second) == ["mount: /"]


@pytest.mark.parametrize("other", [None, WEAK], ids=["without rules", "with other rules"])
async def test_another_server_does_not_write_the_baseline(world: World, other: Policy | None) -> None:
    world.follow(STRICT)
    await push(world, HOST, FIRST)
    world.follow(other)
    await push(world, ROOT, SECOND)
    assert await world.gives(SECOND)
    world.follow(STRICT)
    assert not await world.gives(SECOND)
    await push(world, ROOT | {"Description": "3"}, THIRD)
    assert not await world.gives(THIRD)


async def test_where_only_others_have_let_something_in_that_is_gone_everything_is_new(world: World) -> None:
    world.follow(WEAK)
    first = await push(world, HOST, FIRST)
    assert await world.gives(FIRST)
    await world.store.delete_manifest(HERE, first.digest)
    world.follow(STRICT)
    second = await push(world, ROOT, SECOND)
    assert await new(world, second) == ["network: host", "mount: /"]
    third = await push(world, ROOT | {"Description": "3"}, THIRD)  # a held plugin is no baseline
    assert not await world.gives(THIRD)
    await world.decide(second, approved=True)
    assert not await world.gives(THIRD)  # its growth stays recorded
    assert await world.gives(SECOND)
    await world.decide(third, approved=True)
    assert await world.gives(THIRD)


async def test_what_was_new_to_another_policy_is_new_where_nothing_tells_more(world: World) -> None:
    world.follow(STRICT)
    first = await push(world, HOST, FIRST)
    second = await push(world, ROOT, SECOND)
    assert not await world.gives(SECOND)
    await world.store.delete_manifest(HERE, first.digest)
    world.follow(Policy([GROWN, PolicyRule("another", PolicyAction.ALLOW)]))
    assert not await world.gives(SECOND)
    assert await new(world, second) == ["mount: /"]


async def test_a_policy_that_changes_holds_nothing_that_the_repository_grew_by(world: World) -> None:
    world.follow(STRICT)
    for tag in (FIRST, SECOND):
        await push(world, HOST | {"Description": str(tag)}, tag)
    world.follow(Policy([GROWN, PolicyRule("another", PolicyAction.ALLOW)]))
    assert await world.gives(SECOND)
    assert await world.gives(FIRST)


@pytest.mark.parametrize("others", [1, 2])
async def test_where_everything_was_rejected_everything_is_new(world: World, others: int) -> None:
    world.follow(STRICT)
    for number in range(others):
        rejected = await push(world, [{}, ROOT][number], Tag(str(number)))
        await world.decide(rejected, approved=False)
    last = await push(world, ROOT | {"Description": "one byte more"}, THIRD)
    assert not await world.gives(THIRD)
    assert await new(world, last) == ["network: host", "mount: /"]
    await world.decide(last, approved=True)
    assert await world.gives(THIRD)


async def test_what_another_rule_holds_is_no_baseline(world: World) -> None:
    world.follow(
        Policy([GROWN, PolicyRule("host", PolicyAction.HOLD, privileges=(PrivilegePattern.parse("network=host"),))])
    )
    await push(world, HOST, FIRST)
    second = await push(world, {"Mounts": [{"Source": "/"}]}, SECOND)
    assert not await world.gives(SECOND)
    assert await new(world, second) == ["mount: /"]


async def test_what_came_before_and_cannot_be_read_any_more_makes_everything_new(world: World) -> None:
    world.follow(None)
    first = await push(world, {}, FIRST)
    assert first.config is not None
    await world.store.delete_blob(HERE, first.config.digest)
    world.follow(STRICT)
    await push(world, ROOT, SECOND)
    assert not await world.gives(SECOND)


async def test_what_waits_for_a_layer_is_compared_when_it_has_come(world: World) -> None:
    world.follow(STRICT)
    late = Descriptor(media_types.DOCKER_LAYER_GZIP, Digest.of(b"late"), 4).to_json() | {"urls": ["https://x/"]}
    waiting, _ = await world.push(ROOT, FIRST, layers=[late])
    await push(world, {}, SECOND)
    assert await world.gives(SECOND)
    await world.blob(b"late", media_types.DOCKER_LAYER_GZIP)
    assert not await world.gives(FIRST)
    assert await new(world, waiting) == ["network: host", "mount: /"]


async def test_a_verdict_of_before_is_taken_over(world: World) -> None:
    world.follow(STRICT)
    first = await push(world, HOST, FIRST)
    second = await push(world, ROOT, SECOND)
    for manifest in (first, second):
        known = await world.known(manifest)
        assert known is not None
        await world.store.records.verdicts.note_verdict(known, "")
        await world.store.records.verdicts.forget_verdict(HERE, manifest.digest, STRICT.fingerprint)
    world.follow(STRICT)
    before = len(world.counted)
    assert not await world.gives(SECOND)
    assert await new(world, second) == ["mount: /"]
    assert len(world.counted) == before  # a repeated judgement is not counted
    assert await world.store.records.verdicts.admission(HERE, second.digest, "another", []) is None


async def test_so_many_are_judged_before_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_controller, "_MOST_BEFORE", 2)
    world.follow(None)
    pushed = [await push(world, HOST | {"Description": str(number)}, Tag(str(number))) for number in range(4)]
    world.follow(STRICT)
    await push(world, ROOT, Tag("last"))
    assert not await world.gives(Tag("last"))
    states = [await world.state(manifest) for manifest in pushed]
    assert states == [None, None, AdmissionState.ADMITTED, AdmissionState.ADMITTED]


async def test_a_policy_that_does_not_ask_what_is_new_judges_nothing_before(world: World) -> None:
    world.follow(None)
    first = await push(world, HOST, FIRST)
    world.follow(WEAK)
    await push(world, ROOT, SECOND)
    assert await world.state(first) is None
