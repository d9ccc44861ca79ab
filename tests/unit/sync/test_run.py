from __future__ import annotations

import asyncio
import json
import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import (
    ConfigurationFault,
    DoesNotFit,
    ManifestUnknown,
    MirrorError,
    NotFound,
    RepositoryUnknown,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamUnreachable,
)
from mirror.records.lifecycle.pull_counts import PullCount
from mirror.records.sync_runs import RunOutcome, TagChange, TagOutcome
from mirror.registry.port import Page
from mirror.runtime.clock_jumps import ClockJumps
from mirror.runtime.current_rule import working_for
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.retention import Retention
from mirror.sync.rule import MirrorRule
from mirror.sync.run import run_rule
from mirror.sync.run_result import RuleResult
from mirror.sync.upstream_delete import OnUpstreamDelete
from mirror.transfer.tags.tag_selection import TagSelection
from mirror.wire.pagination import PageRequest
from tests.support.builders import hold, plugin
from tests.support.clocks import HandClock
from tests.unit.sync.conftest import Told, Upstream

THERE, HERE = Repository("store/contiv/v2plugin"), Repository("contiv/v2plugin")
CONFIG, OLD, NEW = b"{}\n", b"old layer", b"new layer, longer"
BETA3, BETA4 = plugin(CONFIG, OLD), plugin(CONFIG, NEW)
RULE = MirrorRule.parse("contiv", f"hub/{THERE}", HERE.name)
DAY = timedelta(days=1)


def ruled(**options: Any) -> MirrorRule:
    return MirrorRule.parse("contiv", f"hub/{THERE}", HERE.name, **options)


@pytest.fixture
async def upstream(upstream: Upstream) -> Upstream:
    await hold(upstream, THERE, [CONFIG, OLD], [BETA3], "1.0.0-beta.3", "latest")
    await hold(upstream, THERE, [NEW], [BETA4], "1.0.0-beta.4")
    upstream.asked.clear()
    return upstream


async def move(upstream: Upstream, tag: str, to: Manifest) -> None:
    await upstream.put_manifest(THERE, to, [Tag(tag)])


async def digest_of(store: Store, tag: str) -> Digest | None:
    try:
        return (await store.resolve(HERE, Tag(tag))).digest
    except NotFound:
        return None


def outcomes(result: RuleResult) -> dict[str, str]:
    return {str(each.tag): each.outcome.value for each in result.tags}


async def test_a_repository_is_held_while_tags_are_copied_to_it(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    held: list[Repository] = []
    context = replace(context, hold=lambda repository: nullcontext(held.append(repository)))
    await run_rule(RULE, upstream, here, context)
    assert held == [HERE]
    await run_rule(RULE, upstream, here, context)
    assert held == [HERE]  # a run that copies nothing writes nothing


async def test_tags_are_chosen_off_the_event_loop(upstream: Upstream, here: Store, context: RunContext) -> None:
    """An upstream may list hundreds of thousands of tags, and the server has other clients meanwhile."""
    threads: list[int] = []

    class Watching(TagSelection):
        def takes(self, tag: Tag) -> bool:
            threads.append(threading.get_ident())
            return super().takes(tag)

    rule = replace(RULE, tags=Watching())
    await run_rule(rule, upstream, here, context)
    assert len(threads) == 3
    assert threading.get_ident() not in threads


async def test_what_is_selected_is_copied_newest_first(
    upstream: Upstream, here: Store, context: RunContext, told: Told
) -> None:
    result = await run_rule(RULE, upstream, here, context)
    assert list(outcomes(result).items()) == [
        ("1.0.0-beta.4", "copied"),
        ("1.0.0-beta.3", "copied"),
        ("latest", "copied"),
    ]
    assert [line.partition(" ")[0] for line in told.lines] == [
        "contiv/v2plugin:1.0.0-beta.4",
        "contiv/v2plugin:1.0.0-beta.3",
        "contiv/v2plugin:latest",
    ]
    assert (result.succeeded, result.moved_bytes) == (True, len(CONFIG + OLD + NEW))
    assert (await here.get_manifest(HERE, Tag("1.0.0-beta.3"))).content == BETA3.content


async def test_a_second_run_copies_nothing_and_reads_no_manifest(
    upstream: Upstream, here: Store, context: RunContext, told: Told
) -> None:
    await run_rule(RULE, upstream, here, context)
    upstream.asked.clear()
    result = await run_rule(RULE, upstream, here, context)
    assert (set(outcomes(result).values()), result.moved_bytes) == ({"unchanged"}, 0)
    assert sorted(upstream.asked) == ["list", "resolve 1.0.0-beta.3", "resolve 1.0.0-beta.4", "resolve latest"]
    assert told.lines[-1] == "contiv/v2plugin:latest unchanged"


async def test_only_the_tags_that_the_rule_selects(upstream: Upstream, here: Store, context: RunContext) -> None:
    rule = ruled(tags=TagSelection.parse(include=("1.0.0-beta.*",), newest=1))
    assert outcomes(await run_rule(rule, upstream, here, context)) == {"1.0.0-beta.4": "copied"}
    assert await digest_of(here, "latest") is None


async def test_a_tag_that_fails_does_not_stop_the_others(
    upstream: Upstream, here: Store, context: RunContext, told: Told
) -> None:
    upstream.broken[BETA4.digest] = UpstreamRefused("not for you")
    result = await run_rule(RULE, upstream, here, context)
    assert [each.outcome for each in result.tags] == [TagOutcome.FAILED, TagOutcome.COPIED, TagOutcome.COPIED]
    assert not result.succeeded
    assert isinstance(result.failed[0].error, UpstreamRefused)
    fix = "fix: configure a login for the upstream, or correct the name"
    assert told.lines[0] == f"contiv/v2plugin:1.0.0-beta.4 failed: not for you; {fix}"
    upstream.broken.clear()
    result = await run_rule(RULE, upstream, here, context)
    assert (len(result.with_outcome(TagOutcome.COPIED)), len(result.with_outcome(TagOutcome.UNCHANGED))) == (1, 2)


async def test_a_repository_that_is_not_there(upstream: Upstream, here: Store, context: RunContext, told: Told) -> None:
    result = await run_rule(MirrorRule.parse("typo", "hub/store/contiv/plugin", "x"), upstream, here, context)
    assert isinstance(result.failed[0].error, RepositoryUnknown)
    assert result.failed[0].tag is None
    reason = "the registry has no repository store/contiv/plugin; fix: 'plugin-mirror ls' lists what the store holds"
    assert told.lines == [f"x failed: {reason}"]
    (run,) = await here.records.sync_runs.runs("typo", 5)
    assert (run.outcome, run.failed, run.reason) == (
        RunOutcome.FAILED,
        1,
        f"x: {reason}",
    )


async def test_a_plain_name_needs_no_catalog_and_a_pattern_does(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    await hold(upstream, Repository("store/acme/x"), [CONFIG, OLD], [BETA3], "1")
    await hold(upstream, Repository("other/y"), [CONFIG, OLD], [BETA3], "1")
    upstream.asked.clear()
    await run_rule(RULE, upstream, here, context)
    assert "catalog" not in upstream.asked
    result = await run_rule(MirrorRule.parse("all", "hub/store/*/*", "*/*"), upstream, here, context)
    assert upstream.asked.count("catalog") == 1
    assert {each.repository.name for each in result.tags} == {"acme/x", "contiv/v2plugin"}


async def test_lists_are_read_to_their_end(upstream: Upstream, here: Store, context: RunContext) -> None:
    await hold(upstream, Repository("store/acme/x"), [CONFIG, OLD], [BETA3], "1", "2", "3")
    upstream.page_limit = 1
    result = await run_rule(MirrorRule.parse("all", "hub/store/**", "**"), upstream, here, context)
    assert len(result.with_outcome(TagOutcome.COPIED)) == 6


async def test_a_pattern_that_matches_nothing_is_told(upstream: Upstream, here: Store, context: RunContext) -> None:
    result = await run_rule(MirrorRule.parse("none", "hub/nowhere/*", "*"), upstream, here, context)
    assert isinstance(result.error, ConfigurationFault)
    assert "none of the 1 repositories that hub lists matches nowhere/*" in str(result.error)


async def test_a_catalog_that_is_not_given(upstream: Upstream, here: Store, context: RunContext) -> None:
    upstream.lists = UpstreamUnreachable("gone")
    result = await run_rule(MirrorRule.parse("all", "hub/**", "**"), upstream, here, context)
    assert isinstance(result.error, UpstreamUnreachable)
    assert (await here.records.sync_runs.runs("all", 1))[0].outcome is RunOutcome.FAILED


async def test_blobs_that_several_tags_need_move_once(upstream: Upstream, here: Store, context: RunContext) -> None:
    shared = b"a layer that all of them have"
    for number in range(8):
        own = f'{{"Description": "{number}"}}'.encode()
        await hold(upstream, THERE, [own, shared], [plugin(own, shared)], f"2.{number}")
    result = await run_rule(ruled(tags=TagSelection.parse(include=("2.*",))), upstream, here, context)
    assert result.moved_bytes == len(shared) + 8 * len('{"Description": "0"}')


# ---- movement and loss


def config(**members: Any) -> bytes:
    return json.dumps({"Interface": {"Types": []}, **members}).encode()


HUMBLE, GREEDY = config(Network={"Type": "host"}), config(PidHost=True, Linux={"Capabilities": ["CAP_SYS_ADMIN"]})
ASKS_LITTLE, ASKS_MUCH = plugin(HUMBLE, OLD), plugin(GREEDY, OLD)
DIFFERENCE = ("+ host pid namespace: true", "+ capabilities: CAP_SYS_ADMIN", "- network: host")


@pytest.fixture
async def stable(upstream: Upstream) -> Upstream:
    """An upstream whose tag ``stable`` is a plugin with few privileges. It also holds one with many."""
    await hold(upstream, THERE, [GREEDY], [ASKS_MUCH])
    await hold(upstream, THERE, [HUMBLE], [ASKS_LITTLE], "stable")
    return upstream


async def test_a_moved_tag_is_followed_and_told_with_its_privileges(
    stable: Upstream, here: Store, context: RunContext
) -> None:
    await run_rule(RULE, stable, here, context)
    await move(stable, "stable", ASKS_MUCH)
    result = await run_rule(RULE, stable, here, context)
    (moved,) = result.changed
    assert (moved.outcome, moved.change, moved.difference) == (TagOutcome.COPIED, TagChange.MOVED, DIFFERENCE)
    assert await digest_of(here, "stable") == ASKS_MUCH.digest
    event, appeared = await here.records.sync_runs.history(HERE, Tag("stable"), 5)
    assert (event.before, event.after) == (ASKS_LITTLE.digest, ASKS_MUCH.digest)
    assert (event.source, event.difference) == (f"hub/{THERE}", DIFFERENCE)
    assert (appeared.change, appeared.before, appeared.after) == (TagChange.APPEARED, None, ASKS_LITTLE.digest)


async def test_a_pinned_tag_is_held_and_its_movement_told_once(
    stable: Upstream, here: Store, context: RunContext
) -> None:
    rule = ruled(pins={"stable": str(ASKS_LITTLE.digest)})
    await run_rule(rule, stable, here, context)
    await move(stable, "stable", ASKS_MUCH)
    second, third = [await run_rule(rule, stable, here, context) for _ in range(2)]
    assert [(tag.change, tag.difference) for tag in second.changed] == [(TagChange.HELD, DIFFERENCE)]
    assert third.changed == ()
    assert (outcomes(second)["stable"], outcomes(third)["stable"]) == ("skipped", "skipped")
    assert await digest_of(here, "stable") == ASKS_LITTLE.digest
    assert [event.change for event in await here.records.sync_runs.history(HERE, Tag("stable"), 5)] == [
        TagChange.HELD,
        TagChange.APPEARED,
    ]


async def test_a_pin_needs_no_tag_upstream(upstream: Upstream, here: Store, context: RunContext) -> None:
    rule = ruled(pins={"9.9": str(BETA3.digest)}, tags=TagSelection.parse(include=("nothing",)))
    assert outcomes(await run_rule(rule, upstream, here, context)) == {"9.9": "copied"}
    assert await digest_of(here, "9.9") == BETA3.digest
    assert outcomes(await run_rule(rule, upstream, here, context))["9.9"] == "unchanged"


async def test_a_tag_that_disappears_stays_and_is_told_once(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    await run_rule(RULE, upstream, here, context)
    await upstream.delete_tag(THERE, Tag("latest"))
    second, third = [await run_rule(RULE, upstream, here, context) for _ in range(2)]
    assert [(str(tag.tag), tag.change) for tag in second.changed] == [("latest", TagChange.GONE)]
    assert "latest" not in outcomes(third)
    assert await digest_of(here, "latest") == BETA3.digest
    await move(upstream, "latest", BETA3)
    fourth = await run_rule(RULE, upstream, here, context)
    assert [(str(tag.tag), tag.change) for tag in fourth.changed] == [("latest", TagChange.RETURNED)]


async def test_a_tag_that_disappears_can_be_followed(upstream: Upstream, here: Store, context: RunContext) -> None:
    rule = ruled(on_upstream_delete=OnUpstreamDelete.FOLLOW, pins={"1.0.0-beta.3": str(BETA3.digest)})
    await run_rule(rule, upstream, here, context)
    await upstream.delete_tag(THERE, Tag("latest"))
    await upstream.delete_tag(THERE, Tag("1.0.0-beta.3"))
    await run_rule(rule, upstream, here, context)
    assert await digest_of(here, "latest") is None
    assert await digest_of(here, "1.0.0-beta.3") == BETA3.digest
    assert [event.change for event in await here.records.sync_runs.history(HERE, Tag("latest"), 2)] == [
        TagChange.DROPPED,
        TagChange.GONE,
    ]
    assert "latest" not in outcomes(await run_rule(rule, upstream, here, context))


@pytest.mark.parametrize("loss", ["every tag", "the repository"])
async def test_the_loss_of_everything_is_not_followed(
    upstream: Upstream, here: Store, context: RunContext, loss: str
) -> None:
    rule = ruled(on_upstream_delete=OnUpstreamDelete.FOLLOW)
    await run_rule(rule, upstream, here, context)
    if loss == "every tag":
        for tag in ("latest", "1.0.0-beta.3", "1.0.0-beta.4"):
            await upstream.delete_tag(THERE, Tag(tag))
    else:
        upstream.lists = RepositoryUnknown("no such repository")
    result = await run_rule(rule, upstream, here, context)
    assert set(outcomes(result).values()) == {"gone"}
    assert await digest_of(here, "latest") == BETA3.digest


async def test_what_was_pushed_here_is_left_alone(upstream: Upstream, here: Store, context: RunContext) -> None:
    own = plugin(CONFIG, b"our own")
    await hold(here, HERE, [CONFIG, b"our own"], [own], "latest")
    result = await run_rule(RULE, upstream, here, context)
    assert outcomes(result)["latest"] == "skipped"
    assert result.succeeded
    await run_rule(RULE, upstream, here, context)
    assert await digest_of(here, "latest") == own.digest
    await here.delete_tag(HERE, Tag("latest"))
    assert outcomes(await run_rule(RULE, upstream, here, context))["latest"] == "copied"


async def test_what_is_pushed_over_a_mirrored_tag_stays(upstream: Upstream, here: Store, context: RunContext) -> None:
    rule = ruled(on_upstream_delete=OnUpstreamDelete.FOLLOW)
    await run_rule(rule, upstream, here, context)
    own = plugin(CONFIG, b"our own")
    await hold(here, HERE, [b"our own"], [own], "latest")
    await move(upstream, "latest", BETA4)
    assert outcomes(await run_rule(rule, upstream, here, context))["latest"] == "skipped"
    await upstream.delete_tag(THERE, Tag("latest"))
    await run_rule(rule, upstream, here, context)
    assert await digest_of(here, "latest") == own.digest


# ---- retention


async def test_only_the_newest_are_kept_and_what_would_not_be_is_not_copied(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    await run_rule(RULE, upstream, here, context)
    await move(upstream, "1.0.0", BETA4)
    rule = ruled(retention=Retention(newest=2))
    result = await run_rule(rule, upstream, here, context)
    assert outcomes(result) | {"1.0.0-beta.4": ""} == {
        "1.0.0": "copied",
        "1.0.0-beta.4": "",
        "1.0.0-beta.3": "dropped",
        "latest": "dropped",
    }
    again = await run_rule(rule, upstream, here, context)
    assert set(outcomes(again).values()) == {"unchanged", "skipped"}
    assert [await digest_of(here, tag) for tag in ("1.0.0-beta.3", "latest")] == [None, None]


async def test_what_nobody_pulls_is_dropped_and_stays_away_until_it_moves(
    upstream: Upstream, here: Store, context: RunContext, clock: HandClock
) -> None:
    rule = ruled(retention=Retention(pulled_within=90 * DAY))
    await run_rule(rule, upstream, here, context)
    clock.advance(days=80)
    now = PullCount(clock.now())
    await here.records.pulls.record_pulls({(HERE, Tag("latest")): now, (HERE, BETA4.digest): now})
    clock.advance(days=20)
    assert outcomes(await run_rule(rule, upstream, here, context))["1.0.0-beta.3"] == "dropped"
    assert await digest_of(here, "latest") == BETA3.digest
    assert await digest_of(here, "1.0.0-beta.4") == BETA4.digest
    assert outcomes(await run_rule(rule, upstream, here, context))["1.0.0-beta.3"] == "skipped"
    await move(upstream, "1.0.0-beta.3", BETA4)
    assert outcomes(await run_rule(rule, upstream, here, context))["1.0.0-beta.3"] == "copied"


async def test_a_jump_of_the_clock_drops_nothing_for_lack_of_pulls(
    upstream: Upstream, here: Store, context: RunContext, clock: HandClock
) -> None:
    rule = ruled(retention=Retention(pulled_within=90 * DAY))
    context = replace(context, jumps=ClockJumps(clock))
    await run_rule(rule, upstream, here, context)
    clock.set(days=365)
    assert "dropped" not in outcomes(await run_rule(rule, upstream, here, context)).values()
    clock.advance(days=80)
    assert "dropped" not in outcomes(await run_rule(rule, upstream, here, context)).values()
    clock.advance(days=20)
    assert "dropped" in outcomes(await run_rule(rule, upstream, here, context)).values()


async def test_retention_leaves_alone_what_the_rule_did_not_bring(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    own = plugin(CONFIG, b"our own")
    await hold(here, HERE, [CONFIG, b"our own"], [own], "0.1")
    await run_rule(ruled(retention=Retention(newest=1)), upstream, here, context)
    assert await digest_of(here, "0.1") == own.digest
    assert await digest_of(here, "1.0.0-beta.4") == BETA4.digest
    assert await digest_of(here, "latest") is None


# ---- referrers


async def holds(registry: Store, manifest: Manifest) -> bool:
    try:
        await registry.resolve(HERE, manifest.digest)
    except NotFound:
        return False
    return True


def signature(subject: Manifest, layer: bytes, created: str = "") -> Manifest:
    value = json.loads(plugin(CONFIG, layer).content) | {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "subject": subject.descriptor.to_json(),
        "artifactType": "application/vnd.acme.signature",
        **({"annotations": {"org.opencontainers.image.created": created}} if created else {}),
    }
    return Manifest.parse(json.dumps(value).encode(), value["mediaType"])


async def test_referrers_follow_their_subject_also_later(upstream: Upstream, here: Store, context: RunContext) -> None:
    signed = signature(BETA3, b"signature")
    countersigned = signature(signed, b"countersignature")
    await hold(upstream, THERE, [b"signature", b"countersignature"], [signed, countersigned])
    rule = ruled(tags=TagSelection.parse(include=("latest",)))
    first = await run_rule(rule, upstream, here, context)
    assert first.moved_bytes == len(CONFIG + OLD + b"signature" + b"countersignature")
    for manifest in (signed, countersigned):
        assert (await here.get_manifest(HERE, manifest.digest)).content == manifest.content
    late = signature(BETA3, b"later")
    await hold(upstream, THERE, [b"later"], [late])
    second, third = [await run_rule(rule, upstream, here, context) for _ in range(2)]
    assert (outcomes(second), second.moved_bytes) == ({"latest": "copied"}, len(b"later"))
    assert outcomes(third) == {"latest": "unchanged"}


async def test_a_signature_under_a_tag_of_its_own_follows_too(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    tag = f"sha256-{BETA3.digest.hex}.sig"
    other = f"sha256-{'0' * 64}.sig"
    signed = plugin(CONFIG, b"signature")
    await hold(upstream, THERE, [b"signature"], [signed], tag, other)
    result = await run_rule(ruled(tags=TagSelection.parse(include=("latest", "sha256*"))), upstream, here, context)
    assert outcomes(result) == {"latest": "copied", tag: "copied"}
    assert await digest_of(here, other) is None


async def test_a_referrer_that_cannot_be_had_is_told_and_the_tag_is_here(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    signed = signature(BETA3, b"signature")
    await hold(upstream, THERE, [b"signature"], [signed])
    upstream.broken[signed.digest] = UpstreamUnreachable("gone")
    rule = ruled(tags=TagSelection.parse(include=("latest",)))
    assert outcomes(await run_rule(rule, upstream, here, context)) == {"latest": "failed"}
    assert await digest_of(here, "latest") == BETA3.digest
    upstream.broken.clear()
    assert outcomes(await run_rule(rule, upstream, here, context)) == {"latest": "copied"}


@pytest.mark.parametrize("of_how_many", [3, 4])
async def test_of_too_many_referrers_the_newest_are_copied_with_a_warning(
    upstream: Upstream, here: Store, context: RunContext, of_how_many: int
) -> None:
    """Times count, not their texts: 00:00 at -02:00 is later than 01:00 at UTC. No time is the oldest time."""
    times = ["2026-01-01T00:00:00-02:00", "2026-01-01T01:00:00Z", "", "no time"][:of_how_many]
    ages = [signature(BETA3, b"signature", created) for created in times]
    for signed in ages:
        await hold(upstream, THERE, [b"signature"], [signed])
    rule = ruled(tags=TagSelection.parse(include=("latest", "1.0.0-beta.3")), most_referrers=3)
    first, second = [await run_rule(rule, upstream, here, context) for _ in range(2)]
    assert (first.succeeded, set(outcomes(second).values())) == (True, {"unchanged"})
    assert len((await here.list_referrers(HERE, BETA3.digest, None, PageRequest())).entries) == 3
    assert [await holds(here, signed) for signed in ages[:2]] == [True, True]
    # Two tags lead to the subject, and it is told once a run.
    warnings = [warning for result in (first, second) for tag in result.tags for warning in tag.warnings]
    assert len(warnings) == (0 if of_how_many == 3 else 2)
    assert all(f"@{BETA3.digest} has more than 3 referrers" in warning for warning in warnings)


async def test_no_referrers_are_wanted(upstream: Upstream, here: Store, context: RunContext) -> None:
    await hold(upstream, THERE, [b"signature"], [signature(BETA3, b"signature")])
    result = await run_rule(ruled(most_referrers=0), upstream, here, context)
    assert [warning for tag in result.tags for warning in tag.warnings] == []
    assert (await here.list_referrers(HERE, BETA3.digest, None, PageRequest())).entries == ()


@pytest.mark.parametrize(
    "fault",
    [
        UpstreamProtocolError("of another size"),
        UpstreamRefused("not for you"),
        UpstreamBusy("answered 500", status=500),
        ManifestUnknown("gone"),
        DoesNotFit("9.1 TiB do not fit"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_broken_referrer_is_a_warning_and_stops_no_other(
    upstream: Upstream, here: Store, context: RunContext, fault: MirrorError
) -> None:
    broken, well = [signature(BETA3, b"signature", f"2026-01-0{day}T00:00:00Z") for day in (2, 1)]
    await hold(upstream, THERE, [b"signature"], [broken, well])
    upstream.broken[broken.digest] = fault
    result = await run_rule(ruled(tags=TagSelection.parse(include=("latest",))), upstream, here, context)
    assert (result.succeeded, outcomes(result)) == (True, {"latest": "copied"})
    (warning,) = result.tags[0].warnings
    assert (str(broken.digest) in warning, str(fault) in warning) == (True, True)
    assert [await holds(here, signed) for signed in (broken, well)] == [False, True]


async def test_referrers_that_cannot_be_listed_are_a_warning(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    class Lying(Upstream):
        async def list_referrers(
            self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
        ) -> Page[Descriptor]:
            raise UpstreamProtocolError("no JSON")

    lying = Lying()
    lying.inner = upstream.inner
    result = await run_rule(ruled(tags=TagSelection.parse(include=("latest",))), lying, here, context)
    assert (result.succeeded, outcomes(result)) == (True, {"latest": "copied"})
    assert "could not be listed: no JSON" in result.tags[0].warnings[0]


async def test_a_signature_under_a_tag_that_is_broken_is_skipped(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    signed = plugin(CONFIG, b"signature")
    await hold(upstream, THERE, [b"signature"], [signed], f"sha256-{BETA3.digest.hex}.sig")
    upstream.broken[signed.digest] = UpstreamProtocolError("of another size")
    result = await run_rule(ruled(tags=TagSelection.parse(include=("latest",))), upstream, here, context)
    assert result.succeeded
    assert [(tag.outcome.value, tag.warnings) for tag in result.tags] == [
        ("copied", ()),
        ("skipped", ("not copied: of another size",)),
    ]


async def test_tags_spare_questions_where_only_they_lead_to_referrers(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    class WithoutApi(Upstream):
        keeps_referrers_under_tags = True

        async def list_referrers(
            self, repository: Repository, subject: Digest, artifact_type: str | None, page: PageRequest
        ) -> Page[Descriptor]:
            self.asked.append(f"referrers {subject}")
            return Page(())

    source = WithoutApi()
    source.inner = upstream.inner
    await hold(source, THERE, [b"x"], [plugin(CONFIG, b"x")], f"sha256-{BETA3.digest.hex}")
    await run_rule(RULE, source, here, context)
    assert {asked for asked in source.asked if asked.startswith("referrers")} == {f"referrers {BETA3.digest}"}


# ---- the journal


async def test_a_run_is_noted_with_what_it_did(upstream: Upstream, here: Store, context: RunContext) -> None:
    await run_rule(RULE, upstream, here, context)
    (run,) = await here.records.sync_runs.runs("contiv", 5)
    assert (run.outcome, run.copied, run.moved_bytes) == (RunOutcome.SUCCEEDED, 3, len(CONFIG + OLD + NEW))
    assert run.ended_at is not None
    entries = {entry.tag: entry for entry in await here.records.sync_runs.entries(run.id)}
    assert {entry.outcome for entry in entries.values()} == {TagOutcome.COPIED}
    assert entries[Tag("latest")].after == BETA3.digest
    record = await here.records.sync_runs.rule_record("contiv")
    assert (record.last_run, record.last_success_at) == (run, run.ended_at)


async def test_a_cancelled_run_is_noted_as_interrupted_with_what_was_planned(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    begun = asyncio.Event()

    class Stuck(Upstream):
        async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
            if target == BETA4.digest:
                begun.set()
                await asyncio.Event().wait()
            return await super().get_manifest(repository, target)

    stuck = Stuck()
    stuck.inner = upstream.inner
    task = asyncio.create_task(run_rule(RULE, stuck, here, context))
    await begun.wait()
    async with asyncio.timeout(30):
        while None in [await digest_of(here, tag) for tag in ("latest", "1.0.0-beta.3")]:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (run,) = await here.records.sync_runs.runs("contiv", 5)
    assert run.outcome is RunOutcome.INTERRUPTED
    planned = {entry.tag: entry.outcome for entry in await here.records.sync_runs.entries(run.id)}
    assert planned[Tag("1.0.0-beta.4")] is TagOutcome.PLANNED
    result = await run_rule(RULE, upstream, here, context)
    assert outcomes(result) == {"1.0.0-beta.4": "copied", "1.0.0-beta.3": "unchanged", "latest": "unchanged"}


async def test_a_tag_that_was_copied_and_not_noted_keeps_its_history(
    stable: Upstream, here: Store, context: RunContext
) -> None:
    await run_rule(RULE, stable, here, context)
    await move(stable, "stable", ASKS_MUCH)
    with working_for("contiv"):  # as a run leaves it that died before the record
        await hold(here, HERE, [GREEDY], [ASKS_MUCH], "stable")
    result = await run_rule(RULE, stable, here, context)
    assert (outcomes(result)["stable"], result.changed[0].difference) == ("unchanged", DIFFERENCE)
    event = (await here.records.sync_runs.history(HERE, Tag("stable"), 1))[0]
    assert (event.before, event.after) == (ASKS_LITTLE.digest, ASKS_MUCH.digest)
