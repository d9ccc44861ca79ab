"""Upstreams that count requests: each manifest is read once, and after a 429 or 503 the rule pauses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import CircuitOpen, MirrorError, NotFound, UpstreamBusy, UpstreamPaused, UpstreamRefused
from mirror.oci.media_types import OCI_INDEX
from mirror.oci.timestamps import machine_time
from mirror.records.sync_runs import RunOutcome, TagOutcome
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import rule_statuses
from mirror.sync.run import run_rule
from mirror.sync.run_result import RuleResult
from mirror.sync.schedule import Cron, Every, Schedule, goes_on_at
from mirror.sync.source.sparing_source import SparingSource
from tests.support.builders import hold, manifest_of, plugin
from tests.support.clocks import HandClock
from tests.unit.sync.conftest import Told, Upstream

THERE, HERE, ELSEWHERE = Repository("acme/driver"), Repository("driver"), Repository("elsewhere")
RULE = MirrorRule.parse("acme", f"hub/{THERE}", HERE.name, schedule=Every(timedelta(hours=6)))
CONFIG, LAYER = b"{}", b"layer"
ONE, TWO = plugin(CONFIG, LAYER), plugin(CONFIG, b"another layer")
TOO_MANY = UpstreamBusy("upstream hub: answered 429", status=429, retry_after_seconds=7200)


def numbered(count: int) -> list[str]:
    return [f"1.{number}" for number in range(count)]


def index_of(*members: Manifest, **annotations: str) -> Manifest:
    return manifest_of(
        {"manifests": [each.descriptor.to_json() for each in members], "annotations": annotations}, OCI_INDEX
    )


async def run(upstream: Upstream, here: Store, context: RunContext, rule: MirrorRule = RULE) -> RuleResult:
    """Run a rule, and forget the calls of before."""
    upstream.asked.clear()
    return await run_rule(rule, SparingSource(upstream, here.records.sync_runs.held_manifest), here, context)


def asked(upstream: Upstream) -> Counter[str]:
    return Counter(call.partition(" ")[0] for call in upstream.asked)


async def test_tags_of_one_digest_cost_one_get(upstream: Upstream, here: Store, context: RunContext) -> None:
    await hold(upstream, THERE, [CONFIG, LAYER], [ONE], *numbered(50))
    result = await run(upstream, here, context)
    assert len(result.with_outcome(TagOutcome.COPIED)) == 50
    assert asked(upstream) == {"list": 1, "resolve": 50, "get": 1}
    await upstream.put_manifest(THERE, ONE, [Tag("2.0")])
    await run(upstream, here, context)
    assert asked(upstream) == {"list": 1, "resolve": 51}
    assert (await here.resolve(HERE, Tag("2.0"))).digest == ONE.digest


async def test_what_another_repository_holds_is_not_read(upstream: Upstream, here: Store, context: RunContext) -> None:
    await hold(upstream, THERE, [CONFIG, LAYER], [ONE], "1.0")
    await hold(here, ELSEWHERE, [CONFIG, LAYER], [ONE], "any")
    result = await run(upstream, here, context)
    assert (result.succeeded, result.moved_bytes, asked(upstream)["get"]) == (True, 0, 0)
    assert (await here.get_manifest(HERE, Tag("1.0"))).content == ONE.content


async def test_what_is_held_as_another_type_is_read(upstream: Upstream, here: Store, context: RunContext) -> None:
    """The bytes of a manifest do not always name their type, and the type of another repository may be wrong."""
    content = json.dumps({k: v for k, v in json.loads(ONE.content).items() if k != "mediaType"}).encode()
    theirs = Manifest.parse(content, "application/vnd.oci.image.manifest.v1+json")
    ours = Manifest.parse(content, ONE.media_type)
    await hold(upstream, THERE, [CONFIG, LAYER], [theirs], "1.0")
    await hold(here, ELSEWHERE, [CONFIG, LAYER], [ours], "any")
    await run(upstream, here, context)
    assert asked(upstream)["get"] == 1
    assert (await here.get_manifest(HERE, Tag("1.0"))).media_type == theirs.media_type


async def test_members_that_indexes_share_are_read_once(upstream: Upstream, here: Store, context: RunContext) -> None:
    await hold(upstream, THERE, [CONFIG, LAYER, b"another layer"], [ONE, TWO])
    for tag in numbered(20):
        await hold(upstream, THERE, [], [index_of(ONE, TWO, tag=tag)], tag)
    result = await run(upstream, here, context)
    assert len(result.with_outcome(TagOutcome.COPIED)) == 20
    assert asked(upstream)["get"] == 20 + 2
    await hold(upstream, THERE, [], [index_of(TWO, ONE)], "2.0")
    await run(upstream, here, context)
    assert asked(upstream)["get"] == 1


async def test_referrers_are_listed_once_for_all_tags_of_a_digest(
    upstream: Upstream, here: Store, context: RunContext
) -> None:
    listed: list[Digest] = []

    class Listing(Upstream):
        async def list_referrers(self, repository, subject, artifact_type, page):  # type: ignore[no-untyped-def]
            listed.append(subject)
            return await super().list_referrers(repository, subject, artifact_type, page)

    listing = Listing()
    await hold(listing, THERE, [CONFIG, LAYER], [ONE], *numbered(20))
    for _ in range(2):
        listed.clear()
        await run(listing, here, context)
        assert listed == [ONE.digest]


async def nobody(_rule: str) -> bool:
    return False


class Limited(Upstream):
    """An upstream that refuses the reads of tags or manifests over a number.

    Attributes:
        left: number of answers left, by ``resolve`` or ``get``.
        refusal: error of the answers after these.
    """

    def __init__(self, refusal: MirrorError = TOO_MANY, **left: int) -> None:
        super().__init__()
        self.left = left
        self.refusal = refusal

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Any:
        found = await super().resolve(repository, target)
        self._count("resolve")
        return found

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        found = await super().get_manifest(repository, target)
        self._count("get")
        return found

    def _count(self, kind: str) -> None:
        if kind in self.left:
            self.left[kind] -= 1
            if self.left[kind] < 0:
                raise type(self.refusal)(self.refusal.message, **self.refusal.detail)


async def filled(limited: Limited, tags: Sequence[str]) -> Limited:
    """Give each tag another plugin."""
    for tag in tags:
        layer = f"layer of {tag}".encode()
        await hold(limited, THERE, [CONFIG, layer], [plugin(CONFIG, layer)], tag)
    return limited


async def test_the_first_429_pauses_the_rule_and_the_next_run_goes_on(
    here: Store, context: RunContext, clock: HandClock, told: Told
) -> None:
    limited = await filled(Limited(get=10), numbered(100))
    result = await run(limited, here, context)
    copied, left = len(result.with_outcome(TagOutcome.COPIED)), len(result.with_outcome(TagOutcome.PLANNED))
    assert (copied, left, result.failed) == (10, 90, ())
    # Some reads were under way when the first was refused.
    assert 11 <= asked(limited)["get"] <= 10 + 8
    assert isinstance(result.error, UpstreamPaused)
    at = clock.now() + timedelta(hours=2)
    assert (result.goes_on_at, result.succeeded) == (at, False)
    recorded = await here.records.sync_runs.rule_record(RULE.name)
    assert recorded.last_run is not None
    assert (recorded.last_run.outcome, recorded.last_run.failed, recorded.last_run.goes_on_at) == (
        RunOutcome.PAUSED,
        0,
        at,
    )
    assert recorded.last_run.reason.startswith("paused: upstream hub: answered 429; may go on at 2026-")
    (state,) = await rule_statuses([RULE], here.records.sync_runs, nobody, clock.now())
    assert (state.state, state.failure is not None) == ("paused", True)
    assert state.next_run_at is not None
    assert state.next_run_at >= at
    assert state.to_json()["runs"][0]["goes_on_at"] == machine_time(at)
    entries = Counter(entry.outcome for entry in await here.records.sync_runs.entries(recorded.last_run.id))
    assert entries == {TagOutcome.COPIED: 10, TagOutcome.PLANNED: 90}
    assert not any("failed" in line for line in told.lines)
    limited.left = {}
    again = await run(limited, here, context)
    assert (again.succeeded, again.goes_on_at, asked(limited)["get"]) == (True, None, 90)


async def test_a_503_for_a_tag_leaves_the_rest_untried_and_copies_what_is_known(
    here: Store, context: RunContext
) -> None:
    refusal = UpstreamBusy("upstream hub: answered 503", status=503)
    limited = await filled(Limited(refusal, resolve=0), numbered(100))
    result = await run(limited, here, context)
    assert result.counts == {TagOutcome.PLANNED: 100}
    assert asked(limited)["resolve"] <= 32
    assert asked(limited)["get"] == 0


async def test_what_was_held_before_a_pause_stays_unchanged(here: Store, context: RunContext) -> None:
    limited = await filled(Limited(), numbered(20))
    await run(limited, here, context)
    limited.left = {"resolve": 5}
    result = await run(limited, here, context)
    assert result.counts == {TagOutcome.UNCHANGED: 5, TagOutcome.PLANNED: 15}
    assert len(await here.records.sync_runs.mirrored(HERE)) == 20


async def test_a_list_of_tags_that_is_refused_pauses_too(upstream: Upstream, here: Store, context: RunContext) -> None:
    await hold(upstream, THERE, [CONFIG, LAYER], [ONE], "1")
    upstream.lists = TOO_MANY
    result = await run(upstream, here, context)
    assert (isinstance(result.error, UpstreamPaused), result.failed) == (True, ())


@pytest.mark.parametrize(
    ("refusal", "pauses"),
    [
        (UpstreamBusy("not sent, because a pause is not over", retry_after_seconds=100), True),
        (CircuitOpen("open", status="503", since="…", retry_after_seconds=10), True),
        (CircuitOpen("open", status="", since="…", retry_after_seconds=10), False),
        (UpstreamBusy("500 for one manifest", status=500), False),
        (UpstreamRefused("not for you", status=403), False),
    ],
    ids=str,
)
async def test_which_refusals_pause(here: Store, context: RunContext, refusal: MirrorError, pauses: bool) -> None:
    limited = await filled(Limited(refusal, get=0), ["1"])
    result = await run(limited, here, context)
    assert (isinstance(result.error, UpstreamPaused), bool(result.failed)) == (pauses, not pauses)
    with pytest.raises(NotFound):
        await here.resolve(HERE, Tag("1"))


async def test_referrers_that_are_refused_leave_the_tag_and_pause_the_rule(here: Store, context: RunContext) -> None:
    class WithoutReferrers(Limited):
        async def list_referrers(self, repository, subject, artifact_type, page):  # type: ignore[no-untyped-def]
            raise TOO_MANY

    limited = await filled(WithoutReferrers(), ["1"])
    result = await run(limited, here, context)
    assert (result.counts, isinstance(result.error, UpstreamPaused)) == ({TagOutcome.COPIED: 1}, True)


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STARTED, HOUR = NOON - timedelta(minutes=10), timedelta(hours=1)


@pytest.mark.parametrize(
    ("schedule", "detail", "after"),
    [
        (Every(6 * HOUR), {"retry_after_seconds": 7200}, 2 * HOUR),
        (Every(HOUR), {"retry_after_seconds": 7200}, 2 * HOUR),
        (Cron("0 0 * * *"), {"retry_after_seconds": 61.2}, timedelta(seconds=62)),
        (Cron("0 0 * * *"), {"retry_after_seconds": 0}, timedelta(minutes=1)),
        (None, {"retry_after_seconds": 10**9}, 24 * HOUR),
        (Every(6 * HOUR), {}, timedelta(minutes=15)),
        (Every(timedelta(minutes=12)), {}, timedelta(minutes=2)),
        (Every(timedelta(minutes=1)), {}, timedelta(minutes=1)),
        (None, {}, timedelta(minutes=15)),
        (None, {"retry_after_seconds": 10, "since": "2026-03-01T11:59:00Z"}, timedelta(minutes=15)),
    ],
)
def test_when_a_paused_run_goes_on(schedule: Schedule | None, detail: dict[str, object], after: timedelta) -> None:
    """At the end of the pause that was asked for; else at its normal time, but soon. Never at once."""
    assert goes_on_at(schedule, STARTED, NOON, UpstreamPaused("429", **detail)) == NOON + after
