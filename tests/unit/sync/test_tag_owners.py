"""Tags that come from several places: rules that change, rules that meet in one name, pulls and pushes."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import NotFound, TagConflict
from mirror.plugin.build.derivation_changes import DerivationChanges
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS
from mirror.records.origins import Origin
from mirror.records.sync_runs import TagOutcome, TagRecord
from mirror.registry.memory import MemoryRegistry
from mirror.registry.port import ReadLister
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.retention import Retention
from mirror.sync.rule import MirrorRule
from mirror.sync.run import run_rule
from mirror.sync.run_result import RuleResult
from mirror.sync.upstream_delete import OnUpstreamDelete
from mirror.transfer.blob_locks import BlobLocks
from mirror.transfer.progress_reporting import SilentReporter
from mirror.transfer.tags.tag_selection import TagSelection
from mirror.wire.referrers_fallback import fallback_tag
from tests.support.builders import hold, plugin
from tests.support.clocks import HandClock
from tests.unit.sync.conftest import Upstream

A, B, HERE = Repository("a/driver"), Repository("b/driver"), Repository("driver")
ONE, TWO, OURS = plugin(b"{}", b"one"), plugin(b"{}", b"two"), plugin(b"{}", b"ours")
V1, V2 = Tag("1"), Tag("2")
NOW = datetime(2026, 5, 6, tzinfo=UTC)


@pytest.fixture
async def hub(upstream: Upstream) -> Upstream:
    """An upstream with different content under one tag of two repositories."""
    await hold(upstream, A, [b"{}", b"one"], [ONE], "1")
    await hold(upstream, B, [b"{}", b"two"], [TWO], "1")
    return upstream


def rule(name: str, source: str, to: str = "driver", **options: object) -> MirrorRule:
    return MirrorRule.parse(name, source, to, **options)  # type: ignore[arg-type]


async def run(
    chosen: MirrorRule, source: ReadLister, here: Store, context: RunContext, *configured: MirrorRule
) -> TagRecord:
    """Run a rule of a configuration, and return the record of its first tag."""
    result = await ran(chosen, source, here, context, *configured)
    return result.tags[0]


async def ran(
    chosen: MirrorRule, source: ReadLister, here: Store, context: RunContext, *configured: MirrorRule
) -> RuleResult:
    return await run_rule(chosen, source, here, replace(context, rules=configured or (chosen,)))


async def at(here: Store, tag: Tag = V1) -> Digest | None:
    try:
        return (await here.resolve(HERE, tag)).digest
    except NotFound:
        return None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rule("r", "hub/a/driver"), rule("r", "hub/b/driver")),
        (rule("r", "hub/a/driver"), rule("r", "other/b/driver")),
        (rule("r", "hub/a/driver"), rule("s", "hub/b/driver")),
        (rule("r", "hub/*/driver", "*/driver"), rule("r", "hub/b/driver")),
    ],
    ids=["another from", "another upstream", "another rule", "a pattern becomes a name"],
)
async def test_what_an_earlier_configuration_brought_is_taken_over(
    before: MirrorRule, after: MirrorRule, hub: Upstream, here: Store, context: RunContext
) -> None:
    if before.plain_source is None:  # fills in "a"
        after = rule(after.name, "hub/b/driver", "a/driver")
    target = after.local_repositories(B)[0]
    await ran(before, hub, here, context)
    assert (await here.resolve(target, V1)).digest == ONE.digest
    record = await run(after, hub, here, context)
    assert (record.outcome, record.change, record.before) == (TagOutcome.COPIED, "taken over", ONE.digest)
    assert record.reason == f"taken over; it was brought by rule {before.name} from hub/a/driver"
    assert (await here.resolve(target, V1)).digest == TWO.digest
    row = (await here.records.sync_runs.mirrored(target))[V1]
    assert (row.rule, row.upstream, row.source) == (after.name, after.source, B)
    again = await run(after, hub, here, context)
    assert (again.outcome, again.change) == (TagOutcome.UNCHANGED, None)


async def test_a_renamed_upstream_brings_nothing_anew_and_goes_on_with_the_tag(
    hub: Upstream, here: Store, context: RunContext
) -> None:
    await run(rule("r", "hub/a/driver"), hub, here, context)
    renamed = rule("r", "docker/a/driver", on_upstream_delete=OnUpstreamDelete.FOLLOW)
    record = await run(renamed, hub, here, context)
    assert (record.outcome, record.change) == (TagOutcome.UNCHANGED, "taken over")
    await hub.put_manifest(A, plugin(b"{}", b"one"), [V1])
    await hold(hub, A, [b"{}", b"two"], [TWO], "1")
    assert (await run(renamed, hub, here, context)).change == "moved"
    await hold(hub, A, [], [ONE], "2")
    await hub.delete_tag(A, V1)
    await run(renamed, hub, here, context)
    assert (await at(here), await at(here, V2)) == (None, ONE.digest)


@pytest.mark.parametrize("on_upstream_delete", OnUpstreamDelete)
async def test_a_tag_of_an_earlier_source_that_the_new_one_lacks_stays_and_is_told_once(
    on_upstream_delete: OnUpstreamDelete, hub: Upstream, here: Store, context: RunContext
) -> None:
    await hold(hub, A, [], [ONE], "2")
    await ran(rule("r", "hub/a/driver"), hub, here, context)
    edited = rule("r", "hub/b/driver", on_upstream_delete=on_upstream_delete)
    result = await ran(edited, hub, here, context)
    assert {str(record.tag): record.outcome for record in result.tags} == {"1": "copied", "2": "gone"}
    assert (await ran(edited, hub, here, context)).counts == {TagOutcome.UNCHANGED: 1}
    assert await at(here, V2) == ONE.digest
    await ran(replace(edited, retention=Retention(newest=1)), hub, here, context)
    assert (await at(here, V2), await at(here)) == (ONE.digest, None)


async def test_a_renamed_rule_goes_on_with_the_tags(hub: Upstream, here: Store, context: RunContext) -> None:
    await run(rule("r", "hub/a/driver"), hub, here, context)
    await hold(hub, A, [], [ONE], "2")
    await hub.delete_tag(A, V1)
    renamed = rule("s", "hub/a/driver", on_upstream_delete=OnUpstreamDelete.FOLLOW)
    await run(renamed, hub, here, context)
    assert await at(here) is None


async def test_the_first_of_two_rules_has_the_tag_whichever_runs_first(
    hub: Upstream, here: Store, context: RunContext
) -> None:
    first, second = rule("first", "hub/a/driver"), rule("second", "hub/b/driver")
    assert (await run(second, hub, here, context, first, second)).outcome is TagOutcome.COPIED
    assert (await run(first, hub, here, context, first, second)).change == "taken over"
    result = await ran(second, hub, here, context, first, second)
    (record,) = result.failed
    assert isinstance(record.error, TagConflict)
    assert "brought by rule first from hub/a/driver, which comes first in the configuration; fix: " in record.reason
    assert await at(here) == ONE.digest
    assert (await ran(first, hub, here, context, first, second)).succeeded
    swapped = await run(second, hub, here, context, second, first)
    assert (swapped.outcome, await at(here)) == (TagOutcome.COPIED, TWO.digest)


async def test_rules_meet_with_disjoint_tags_and_with_equal_content(
    hub: Upstream, here: Store, context: RunContext
) -> None:
    await hold(hub, B, [b"one"], [ONE], "1", "2")
    first, second = rule("first", "hub/a/driver"), rule("second", "hub/b/driver")
    for chosen in (first, second, first, second):
        assert (await ran(chosen, hub, here, context, first, second)).succeeded
    rows = await here.records.sync_runs.mirrored(HERE)
    assert {tag.name: row.rule for tag, row in rows.items()} == {"1": "first", "2": "second"}


async def test_rules_of_one_source_keep_to_their_own_tags(hub: Upstream, here: Store, context: RunContext) -> None:
    await hold(hub, A, [], [ONE], "2", "3")
    mine = rule("mine", "hub/a/driver", tags=TagSelection.parse(["1"]))
    rest = rule("rest", "hub/a/driver", tags=TagSelection.parse(exclude=["1"]), retention=Retention(newest=1))
    for chosen in (mine, rest, rest):
        assert (await ran(chosen, hub, here, context, mine, rest)).succeeded
    assert (await at(here), await at(here, V2), await at(here, Tag("3"))) == (ONE.digest, None, ONE.digest)


async def test_a_rule_lets_go_of_a_tag_that_it_no_longer_selects(
    hub: Upstream, here: Store, context: RunContext
) -> None:
    first, second = rule("first", "hub/a/driver"), rule("second", "hub/b/driver")
    await run(first, hub, here, context, first, second)
    first = rule("first", "hub/a/driver", tags=TagSelection.parse(["2"]))
    await ran(first, hub, here, context, first, second)
    assert (await run(second, hub, here, context, first, second)).change == "taken over"


async def test_a_tag_that_is_gone_upstream_stays_with_the_rule_that_keeps_it(
    hub: Upstream, here: Store, context: RunContext
) -> None:
    first, second = rule("first", "hub/a/driver"), rule("second", "hub/b/driver")
    await run(first, hub, here, context, first, second)
    await hold(hub, A, [], [ONE], "2")
    await hub.delete_tag(A, V1)
    await ran(first, hub, here, context, first, second)
    assert not (await ran(second, hub, here, context, first, second)).succeeded
    first = replace(first, on_upstream_delete=OnUpstreamDelete.FOLLOW)
    await ran(first, hub, here, context, first, second)
    assert (await run(second, hub, here, context, first, second)).outcome is TagOutcome.COPIED


async def test_two_targets_of_one_rule_that_meet_have_an_order_too(
    hub: Upstream, here: Store, context: RunContext
) -> None:
    await hold(hub, Repository("driver"), [b"{}", b"two"], [TWO], "1")
    await hold(hub, Repository("x/driver"), [b"{}", b"one"], [ONE], "1")
    both = MirrorRule.parse("both", "hub/**", ["**", "x/**"])
    for _ in range(2):
        result = await ran(both, hub, here, context)
    assert [record.name for record in result.failed] == ["x/driver:1"]
    assert (await here.resolve(Repository("x/driver"), V1)).digest == ONE.digest


async def test_a_signature_of_an_earlier_rule_is_no_failure(hub: Upstream, here: Store, context: RunContext) -> None:
    signature = Tag(f"{fallback_tag(ONE.digest)}.sig")
    await hold(hub, B, [b"one"], [ONE], "1")
    await hold(hub, A, [b"a"], [plugin(b"a")], signature.name)
    await hold(hub, B, [b"b"], [plugin(b"b")], signature.name)
    first, second = rule("first", "hub/a/driver"), rule("second", "hub/b/driver")
    await ran(first, hub, here, context, first, second)
    result = await ran(second, hub, here, context, first, second)
    assert {str(record.tag): record.outcome for record in result.tags} == {
        "1": TagOutcome.UNCHANGED,
        signature.name: TagOutcome.SKIPPED,
    }
    assert await at(here, signature) == plugin(b"a").digest
    await ran(second, hub, here, context, second)
    assert await at(here, signature) == plugin(b"b").digest


@pytest.mark.parametrize("content", [OURS, ONE], ids=["other content", "the content of the rule"])
@pytest.mark.parametrize("is_mirrored", [False, True])
async def test_what_a_client_pushed_is_left_alone(
    content: Manifest, is_mirrored: bool, hub: Upstream, here: Store, context: RunContext
) -> None:
    chosen = rule("r", "hub/a/driver", on_upstream_delete=OnUpstreamDelete.FOLLOW, retention=Retention(newest=1))
    if is_mirrored:
        await run(chosen, hub, here, context)
    await hold(here, HERE, [b"{}", b"ours", b"one"], [content], "1")
    await ran(chosen, hub, here, context)
    await hold(hub, A, [b"two"], [TWO], "1")
    result = await ran(chosen, hub, here, context)
    assert (result.succeeded, result.tags[0].outcome) == (True, TagOutcome.SKIPPED)
    assert result.tags[0].reason.startswith(f"the tag was pushed here, as {content.digest}; fix: ")
    await hold(hub, A, [], [TWO], "2")
    await hub.delete_tag(A, V1)
    await ran(chosen, hub, here, context)
    assert await at(here) == content.digest


@pytest.mark.parametrize("changes", [None, DerivationChanges(env={"ROLE": "x"})], ids=["as it is", "derived"])
async def test_what_is_pushed_during_a_run_stays(
    changes: DerivationChanges | None, hub: Upstream, here: Store, context: RunContext
) -> None:
    config = b'{"Env": [{"Name": "ROLE", "Settable": ["value"]}]}'
    manifest = plugin(config, b"one")
    await hold(hub, A, [config], [manifest], "1")
    outside = contextvars.copy_context()

    class Slow(Upstream):
        async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
            # A client is served in a context of its own.
            push = hold(here, HERE, [b"{}", b"ours"], [OURS], "1")
            await asyncio.create_task(push, context=outside)
            return await super().get_manifest(repository, target)

    slow = Slow()
    slow.inner = hub.inner
    chosen = rule("r", "hub/a/driver", changes=changes)
    result = await ran(chosen, slow, here, context)
    assert [(record.outcome, record.error) for record in result.tags] == [(TagOutcome.SKIPPED, None)]
    assert "driver:1 was pushed here during the run; fix: " in result.tags[0].reason
    assert await at(here) == OURS.digest
    assert (await run(chosen, hub, here, context)).outcome is TagOutcome.SKIPPED


async def test_a_tag_that_was_pulled_through_is_the_rules(hub: Upstream, here: Store, context: RunContext) -> None:
    await hold(here, HERE, [b"{}", b"two"], [])
    await here.records.incomplete.keep_incomplete(HERE, TWO, Origin("quay", B, TWO.digest, NOW, NOW), V1)
    assert await at(here) == TWO.digest
    record = await run(rule("r", "hub/a/driver"), hub, here, context)
    assert record.reason == "taken over; it was pulled through from quay/b/driver"
    assert await at(here) == ONE.digest
    assert await here.records.origins.origin(HERE, V1) is None


async def test_pull_through_leaves_a_tag_that_a_rule_finds_as_wanted(
    hub: Upstream, here: Store, context: RunContext
) -> None:
    await hold(here, HERE, [b"{}", b"one"], [])
    await here.records.incomplete.keep_incomplete(HERE, ONE, Origin("hub", A, ONE.digest, NOW, NOW), V1)
    assert (await run(rule("r", "hub/a/driver"), hub, here, context)).outcome is TagOutcome.UNCHANGED
    assert await here.records.origins.origin(HERE, V1) is None


# ---- any sequence of changes

_SOURCES = (A, B)
_CONTENT = (ONE, TWO, plugin(b"{}", b"three"))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("configure"), st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3)),
        st.tuples(st.just("from"), st.sampled_from(["a", "b", "c"]), st.sampled_from(_SOURCES)),
        st.tuples(st.just("tags"), st.sampled_from(["a", "b", "c"]), st.sampled_from([("1",), ("2",), ()])),
        st.tuples(st.just("run"), st.integers(0, 2)),
        st.tuples(st.just("push"), st.sampled_from([V1, V2]), st.sampled_from(_CONTENT)),
        st.tuples(st.just("move"), st.sampled_from(_SOURCES), st.sampled_from([V1, V2]), st.sampled_from(_CONTENT)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=_STEPS)
def test_pushed_tags_stay_and_all_others_are_of_the_first_rule_that_wants_them(
    steps: list[tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(_follow(steps, tmp_path_factory.mktemp("owners") / "data"))


class _Configuration:
    def __init__(self) -> None:
        self.names: list[str] = ["a", "b"]
        self.sources = {"a": A, "b": B, "c": B}
        self.tags: dict[str, tuple[str, ...]] = {"a": (), "b": (), "c": ()}

    @property
    def rules(self) -> list[MirrorRule]:
        return [
            MirrorRule.parse(name, f"hub/{self.sources[name]}", "driver", TagSelection.parse(self.tags[name]))
            for name in self.names
        ]


async def _follow(steps: Sequence[tuple[object, ...]], data: Path) -> None:
    hub, there = MemoryRegistry(), {(A, V1): ONE, (A, V2): ONE, (B, V1): TWO}
    for repository in _SOURCES:
        await hold(hub, repository, [b"{}", b"one", b"two", b"three"], [])
    for (repository, tag), manifest in there.items():
        await hub.put_manifest(repository, manifest, [tag])
    configuration, pushed = _Configuration(), dict[Tag, Manifest]()
    async with Store.open(data, clock=HandClock()) as here:
        await hold(here, HERE, [b"{}", b"one", b"two", b"three"], [])
        journal, layers = here.records.sync_runs, SharedLayerReader(DEFAULT_LIMITS).of(here)
        reporter, absent = SilentReporter(), here.records.absent
        context = RunContext(
            journal, here.records.derivations, layers, HandClock(), reporter, BlobLocks(), absent=absent
        )
        for step in steps:
            match step:
                case ("configure", list(names)):
                    configuration.names = names
                case ("from", str(name), Repository() as source):
                    configuration.sources[name] = source
                case ("tags", str(name), tuple(patterns)):
                    configuration.tags[name] = patterns
                case ("run", int(place)) if place < len(configuration.names):
                    await ran(configuration.rules[place], hub, here, context, *configuration.rules)
                case ("push", Tag() as tag, Manifest() as manifest):
                    await here.put_manifest(HERE, manifest, [tag])
                    pushed[tag] = manifest
                case ("move", Repository() as source, Tag() as tag, Manifest() as manifest):
                    await hub.put_manifest(source, manifest, [tag])
                    there[source, tag] = manifest
        # Twice: a rule that comes first may let go of a tag only in its own run.
        for _ in range(2):
            for chosen in configuration.rules:
                await ran(chosen, hub, here, context, *configuration.rules)
        for tag in (V1, V2):
            wanting = [
                there[source, tag]
                for chosen in configuration.rules
                if (source := configuration.sources[chosen.name]) and (source, tag) in there and chosen.tags.takes(tag)
            ]
            wanted = pushed.get(tag) or next(iter(wanting), None)
            if wanted is not None:
                assert await at(here, tag) == wanted.digest, (tag, steps)
