"""Rules with several local names, and rules whose tags are derived plugins."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from mirror.oci import Digest, Repository, Tag
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.records.sync_runs import TagChange, TagOutcome
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.retention import Retention
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import rule_statuses
from mirror.sync.run import run_rule
from mirror.transfer.tags.tag_selection import TagSelection
from mirror.wire.pagination import PageRequest
from tests.support.builders import hold, index, plugin
from tests.support.clocks import HandClock
from tests.support.layers import LAYER as ZIPPED
from tests.support.layers import TAR
from tests.unit.sync.conftest import Told, Watched

THERE, HERE, ELSEWHERE = Repository("store/contiv"), Repository("contiv"), Repository("site/network")

PAGE = PageRequest()


def config(role: str, **members: Any) -> bytes:
    return json.dumps({"Env": [{"Name": "role", "Value": role}, {"Name": "name"}], **members}).encode()


FIRST_CONFIG, SECOND_CONFIG, LAYER = config("master"), config("master", Network={"Type": "host"}), b"a layer" * 99
FIRST, SECOND = plugin(FIRST_CONFIG, LAYER), plugin(SECOND_CONFIG, LAYER)
CHANGES = DerivationChanges(env={"role": "worker", "name": "{name}:{tag}"})
TOLD = f'derived from {FIRST.digest}: env role: "master" -> "worker"; env name: unset -> "contiv:1.0"'


@pytest.fixture
async def upstream() -> Watched:
    upstream = Watched()
    await hold(upstream, THERE, [SECOND_CONFIG, LAYER], [SECOND])
    await hold(upstream, THERE, [FIRST_CONFIG], [FIRST], "1.0")
    upstream.asked.clear()
    return upstream


def ruled(*to: str, **options: Any) -> MirrorRule:
    return MirrorRule.parse("contiv", f"hub/{THERE}", to or HERE.name, **options)


async def at(store: Store, repository: Repository, tag: str = "1.0") -> tuple[Digest, dict[str, str | None]]:
    """Return the digest of a tag, and the environment in its config."""
    manifest = await store.get_manifest(repository, Tag(tag))
    assert manifest.config is not None
    async with store.open_blob(repository, manifest.config.digest) as blob:
        parsed = PluginConfig.parse(b"".join([chunk async for chunk in blob]))
    return manifest.digest, {env.name: env.value for env in parsed.env}


# ---- several names


async def test_two_names_are_one_download(upstream: Watched, here: Store, context: RunContext) -> None:
    result = await run_rule(ruled(HERE.name, ELSEWHERE.name), upstream, here, context)
    assert [(tag.repository, tag.after, tag.outcome) for tag in result.tags] == [
        (name, FIRST.digest, TagOutcome.COPIED) for name in (HERE, ELSEWHERE)
    ]
    assert result.moved_bytes == len(FIRST_CONFIG + LAYER)
    assert (sorted(map(str, upstream.read)), upstream.asked.count("get")) == (
        sorted(str(blob.digest) for blob in FIRST.blobs),
        1,
    )
    assert (await here.resolve(ELSEWHERE, Tag("1.0"))).digest == FIRST.digest
    again = await run_rule(ruled(HERE.name, ELSEWHERE.name), upstream, here, context)
    assert [tag.outcome for tag in again.tags] == [TagOutcome.UNCHANGED] * 2


async def test_each_name_is_kept_for_itself(upstream: Watched, here: Store, context: RunContext) -> None:
    await hold(upstream, THERE, [], [SECOND], "1.1")
    rule = ruled(HERE.name, ELSEWHERE.name)
    await run_rule(rule, upstream, here, context)
    await here.delete_tag(ELSEWHERE, Tag("1.0"))
    await run_rule(replace(rule, retention=Retention(newest=1)), upstream, here, context)
    for name in (HERE, ELSEWHERE):
        assert [tag.name for tag in (await here.list_tags(name, PAGE)).entries] == ["1.1"]


async def test_a_pin_without_a_name_holds_all_of_them(upstream: Watched, here: Store, context: RunContext) -> None:
    rule = ruled(HERE.name, ELSEWHERE.name, pins={"1.0": str(SECOND.digest)})
    await run_rule(rule, upstream, here, context)
    assert {(await here.resolve(name, Tag("1.0"))).digest for name in (HERE, ELSEWHERE)} == {SECOND.digest}


# ---- copies with changes


async def test_a_tag_is_a_copy_and_the_original_is_kept(
    upstream: Watched, here: Store, context: RunContext, clock: HandClock, told: Told
) -> None:
    result = await run_rule(ruled(changes=CHANGES), upstream, here, context)
    digest, env = await at(here, HERE)
    assert env == {"role": "worker", "name": "contiv:1.0"}
    assert (await here.get_manifest(HERE, FIRST.digest)).content == FIRST.content
    (tag,) = result.tags
    assert (tag.after, tag.original, tag.reason) == (digest, FIRST.digest, TOLD)
    (run,) = await here.records.sync_runs.runs("contiv", 5)
    ((entry,),) = (await here.records.sync_runs.entries(run.id),)
    assert (entry.outcome, entry.after, entry.reason) == (TagOutcome.COPIED, digest, TOLD)
    made = await here.records.derivations.derivation(digest)
    assert made is not None
    assert (made.source, made.original, made.made_by, made.made_at) == (
        f"hub/{THERE}",
        FIRST.digest,
        "rule contiv",
        clock.now(),
    )
    assert told.lines[-1].endswith(TOLD)


async def test_a_secret_is_copied_and_not_told(upstream: Watched, here: Store, context: RunContext, told: Told) -> None:
    rule = ruled(changes=DerivationChanges(env={"role": "--token=q7Rz", "name": "postgres://me:q7Rz@db"}))
    (tag,) = (await run_rule(rule, upstream, here, context)).tags
    assert (await at(here, HERE))[1] == {"role": "--token=q7Rz", "name": "postgres://me:q7Rz@db"}
    assert 'role: "master" -> "--token=(hidden)"; env name: unset -> "postgres://me:(hidden)@db"' in tag.reason
    (run,) = await here.records.sync_runs.runs("contiv", 5)
    (entry,) = await here.records.sync_runs.entries(run.id)

    async def running(_rule: str) -> bool:
        return False

    (state,) = await rule_statuses([rule], here.records.sync_runs, running, context.clock.now())
    assert "q7Rz" not in f"{told.lines} {entry.reason} {rule.changes} {state.to_json()}"
    # What is recorded is what was asked for, so the next run has nothing to do.
    (tag,) = (await run_rule(rule, upstream, here, context)).tags
    assert tag.outcome is TagOutcome.UNCHANGED


async def test_an_unchanged_upstream_moves_nothing(upstream: Watched, here: Store, context: RunContext) -> None:
    rule = ruled(changes=CHANGES)
    await run_rule(rule, upstream, here, context)
    before = await at(here, HERE)
    upstream.asked.clear()
    upstream.read.clear()
    result = await run_rule(rule, upstream, here, context)
    assert [tag.outcome for tag in result.tags] == [TagOutcome.UNCHANGED]
    assert (upstream.asked, upstream.read) == (["list", "resolve 1.0"], [])
    assert await at(here, HERE) == before


async def test_a_moved_upstream_tag_derives_anew(upstream: Watched, here: Store, context: RunContext) -> None:
    rule = ruled(changes=CHANGES)
    await run_rule(rule, upstream, here, context)
    before, _ = await at(here, HERE)
    await upstream.put_manifest(THERE, SECOND, [Tag("1.0")])
    (tag,) = (await run_rule(rule, upstream, here, context)).tags
    after, env = await at(here, HERE)
    assert env["role"] == "worker"
    assert (tag.change, tag.before, tag.after, tag.original) == (TagChange.MOVED, before, after, SECOND.digest)
    assert tag.difference == ("+ network: host",)
    (event, _) = await here.records.sync_runs.history(HERE, Tag("1.0"), 5)
    assert (event.before, event.after) == (before, after)
    await upstream.put_manifest(THERE, FIRST, [Tag("1.0")])
    await run_rule(rule, upstream, here, context)
    assert (await at(here, HERE))[0] == before


async def test_other_changes_derive_anew_and_move_nothing(upstream: Watched, here: Store, context: RunContext) -> None:
    await run_rule(ruled(changes=CHANGES), upstream, here, context)
    upstream.read.clear()
    (tag,) = (await run_rule(ruled(changes=DerivationChanges(env={"role": "other"})), upstream, here, context)).tags
    assert (tag.outcome, tag.change, tag.moved_bytes, upstream.read) == (TagOutcome.COPIED, None, 0, [])
    assert (await at(here, HERE))[1]["role"] == "other"
    (tag,) = (await run_rule(ruled(), upstream, here, context)).tags
    assert (tag.outcome, tag.after, tag.original, upstream.read) == (TagOutcome.COPIED, FIRST.digest, None, [])
    await run_rule(ruled(changes=CHANGES), upstream, here, context)
    assert (await at(here, HERE))[1]["role"] == "worker"


async def test_a_run_that_ended_before_it_was_noted_is_made_up_for(
    upstream: Watched, here: Store, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = ruled(changes=CHANGES)

    async def killed(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("mirror.sync.repository_run.RepositoryRun.note", killed)
        with pytest.raises(asyncio.CancelledError):
            await run_rule(rule, upstream, here, context)
    made, _ = await at(here, HERE)
    (tag,) = (await run_rule(rule, upstream, here, context)).tags
    assert (tag.outcome, tag.after, tag.moved_bytes) == (TagOutcome.COPIED, made, 0)


async def test_what_is_mended_is_downloaded_once(upstream: Watched, here: Store, context: RunContext) -> None:
    as_engines_write_it = json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(Digest.of(ZIPPED))]}}).encode()
    await hold(upstream, THERE, [as_engines_write_it, ZIPPED], [plugin(as_engines_write_it, ZIPPED)], "1.0")
    (tag,) = (await run_rule(ruled(changes=DerivationChanges(fix=True)), upstream, here, context)).tags
    assert tag.reason.endswith(": diff_ids: those of the uncompressed layers")
    copy = await here.get_manifest(HERE, Tag("1.0"))
    assert copy.config is not None
    async with here.open_blob(HERE, copy.config.digest) as blob:
        parsed = PluginConfig.parse(b"".join([chunk async for chunk in blob]))
    assert parsed.diff_ids == (str(Digest.of(TAR)),)
    assert upstream.read.count(Digest.of(ZIPPED)) == 1


async def test_what_was_pushed_here_is_left_alone(upstream: Watched, here: Store, context: RunContext) -> None:
    await hold(here, HERE, [SECOND_CONFIG, LAYER], [SECOND], "1.0")
    (tag,) = (await run_rule(ruled(changes=CHANGES), upstream, here, context)).tags
    assert (tag.outcome, tag.after) == (TagOutcome.SKIPPED, SECOND.digest)


async def test_where_nothing_had_to_be_changed_the_tag_is_the_original(
    upstream: Watched, here: Store, context: RunContext
) -> None:
    rule = ruled(changes=DerivationChanges(env={"role": "master"}))
    (tag,) = (await run_rule(rule, upstream, here, context)).tags
    assert (tag.after, tag.reason) == (
        FIRST.digest,
        f"derived from {FIRST.digest}: nothing had to be changed",
    )
    (tag,) = (await run_rule(rule, upstream, here, context)).tags
    assert tag.outcome is TagOutcome.UNCHANGED


async def test_a_pin_holds_the_original_and_its_copy(upstream: Watched, here: Store, context: RunContext) -> None:
    rule = ruled(changes=CHANGES, pins={"1.0": str(FIRST.digest)})
    await run_rule(rule, upstream, here, context)
    before = await at(here, HERE)

    async def running(_rule: str) -> bool:
        return False

    (state,) = await rule_statuses([rule], here.records.sync_runs, running, context.clock.now())
    assert state.behind == []
    await upstream.put_manifest(THERE, SECOND, [Tag("1.0")])
    (tag,) = (await run_rule(rule, upstream, here, context)).tags
    assert (tag.outcome, tag.change, tag.difference) == (TagOutcome.SKIPPED, TagChange.HELD, ("+ network: host",))
    assert await at(here, HERE) == before
    (state,) = await rule_statuses([rule], here.records.sync_runs, running, context.clock.now())
    assert [row.tag.name for row in state.behind] == ["1.0"]
    assert state.to_json()["derive"] == {"env": {"role": "worker", "name": "{name}:{tag}"}}


async def test_signatures_follow_the_original_and_are_not_changed(
    upstream: Watched, here: Store, context: RunContext
) -> None:
    signature = plugin(b'{"signature": 1}', LAYER)
    follower = f"sha256-{FIRST.digest.hex}.sig"
    await hold(upstream, THERE, [b'{"signature": 1}'], [signature], follower)
    await run_rule(ruled(changes=CHANGES), upstream, here, context)
    assert (await here.resolve(HERE, Tag(follower))).digest == signature.digest


async def test_what_cannot_be_changed_fails_alone(upstream: Watched, here: Store, context: RunContext) -> None:
    await hold(upstream, THERE, [], [index(FIRST.descriptor)], "2.0")
    nameless = plugin(b"{}", LAYER)
    await hold(upstream, THERE, [b"{}"], [nameless], "3.0")
    result = await run_rule(ruled(changes=CHANGES), upstream, here, context)
    assert {str(tag.tag): str(tag.error) for tag in result.failed} == {
        "2.0": f"{index(FIRST.descriptor).digest} has no defaults to change: it is an index; fix: give the digest "
        "of one of its members",
        "3.0": "the plugin has no environment variable named 'role' (it has: none)",
    }
    assert [str(tag.tag) for tag in result.with_outcome(TagOutcome.COPIED)] == ["1.0"]


async def test_retention_knows_the_copies(
    upstream: Watched, here: Store, context: RunContext, clock: HandClock
) -> None:
    rule = ruled(changes=CHANGES, retention=Retention(newest=1), tags=TagSelection.parse(("1.*",)))
    await run_rule(rule, upstream, here, context)
    clock.advance(days=1)
    await hold(upstream, THERE, [], [SECOND], "1.1")
    result = await run_rule(rule, upstream, here, context)
    assert {(str(tag.tag), tag.outcome) for tag in result.tags} >= {
        ("1.1", TagOutcome.COPIED),
        ("1.0", TagOutcome.DROPPED),
    }
    assert [tag.name for tag in (await here.list_tags(HERE, PAGE)).entries] == ["1.1"]
