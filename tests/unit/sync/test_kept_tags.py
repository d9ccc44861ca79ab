"""Mirror rules and tags that are immutable or pinned here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.oci import Manifest, Repository, Tag
from mirror.records.lifecycle.pins import Pin
from mirror.records.sync_runs import TagOutcome
from mirror.store.registry import Store
from mirror.sync.repository_run import RunContext
from mirror.sync.rule import MirrorRule
from mirror.sync.run import run_rule
from mirror.sync.run_result import RuleResult
from mirror.sync.upstream_delete import OnUpstreamDelete
from tests.support.builders import hold, plugin
from tests.support.clocks import HandClock
from tests.unit.sync.conftest import Upstream

THERE, HERE = Repository("store/app"), Repository("app")
CONFIG, OLD, NEW = b"{}\n", b"old layer", b"new layer, longer"
FIRST, SECOND = plugin(CONFIG, OLD), plugin(CONFIG, NEW)
RULE = MirrorRule.parse("app", f"hub/{THERE}", HERE.name, on_upstream_delete=OnUpstreamDelete.FOLLOW)


@pytest.fixture
async def here(tmp_path: Path, clock: HandClock) -> AsyncIterator[Store]:
    """A store in which tags that begin with v are immutable."""
    async with Store.open(
        tmp_path / "data", clock=clock, immutable=lambda _repository, tag: tag.name.startswith("v")
    ) as store:
        yield store


@pytest.fixture
async def upstream(upstream: Upstream) -> Upstream:
    await hold(upstream, THERE, [CONFIG, OLD], [FIRST], "v1", "latest")
    return upstream


async def ran(upstream: Upstream, here: Store, context: RunContext) -> RuleResult:
    return await run_rule(RULE, upstream, here, context)


async def put(upstream: Upstream, manifest: Manifest, *tags: str) -> None:
    await hold(upstream, THERE, [NEW], [manifest], *tags)


async def digests(here: Store) -> dict[str, str]:
    found = await here.records.sync_runs.tag_digests(HERE, [Tag("v1"), Tag("latest")])
    return {tag.name: str(digest) for tag, digest in found.items()}


async def test_an_immutable_tag_that_moved_upstream_stays_and_the_run_succeeds(upstream, here, context):
    await ran(upstream, here, context)
    await put(upstream, SECOND, "v1", "latest")
    result = await ran(upstream, here, context)
    assert await digests(here) == {"v1": str(FIRST.digest), "latest": str(SECOND.digest)}
    assert result.error is None
    assert all(record.error is None for record in result.tags)
    (skipped,) = [record for record in result.tags if record.outcome is TagOutcome.SKIPPED]
    assert skipped.reason.startswith(f"the tag is immutable here, as {FIRST.digest}")


async def test_a_tag_that_is_immutable_or_pinned_here_is_not_removed(upstream, here, context, clock):
    await ran(upstream, here, context)
    await put(upstream, SECOND, "other")
    await here.records.pins.pin(Pin(HERE, Tag("latest"), "anna", clock.now()))
    for tag in ("v1", "latest"):
        await upstream.delete_tag(THERE, Tag(tag))
    result = await ran(upstream, here, context)
    assert await digests(here) == {"v1": str(FIRST.digest), "latest": str(FIRST.digest)}
    assert result.error is None
    assert all(record.error is None for record in result.tags)
    await here.records.pins.unpin(HERE, Tag("latest"))
    await ran(upstream, here, context)
    assert await digests(here) == {"v1": str(FIRST.digest)}
