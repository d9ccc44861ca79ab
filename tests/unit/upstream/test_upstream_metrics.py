"""Metrics of upstreams, counted by several processes."""

import math
from collections.abc import AsyncIterator

import pytest

from mirror.oci.errors import CircuitOpen, UpstreamBusy
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.upstream.registry import UpstreamRegistry
from mirror.upstream.upstream_metrics import UpstreamMetrics
from tests.support.scripted_server import Reply, ScriptedServer
from tests.unit.upstream.conftest import QUICK
from tests.unit.upstream.content import DESCRIBED, MANIFEST, REPOSITORY, TAG, TAG_PATH


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer().running() as running:
        yield running


def shown(shared_metrics: SharedMetrics) -> dict[tuple[str, ...], float]:
    return {
        (family.name.removeprefix("plugin_mirror_upstream_"), *labels): cells[0]
        for family, series in shared_metrics.sums()
        for labels, cells in series
    }


async def test_what_two_workers_count_is_added_up(server: ScriptedServer) -> None:
    quota = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
    server.on(f"GET {TAG_PATH}", Reply(body=MANIFEST, headers={**DESCRIBED, **quota}))
    server.on(f"HEAD {TAG_PATH}", Reply(405))
    ours = UpstreamMetrics(["hub", "other"], workers=2)
    shared_metrics = SharedMetrics(ours.families, processes=2)
    async with (
        UpstreamRegistry.open(name="hub", url=server.url, plain_http=True, policy=QUICK) as first,
        UpstreamRegistry.open(name="hub", url=server.url, plain_http=True, policy=QUICK) as second,
    ):
        updates = [
            update
            for worker, upstream in enumerate((first, second))
            for update in ours.followed(shared_metrics.slot(worker), worker, {"hub": upstream})
        ]
        await first.get_manifest(REPOSITORY, TAG)
        for upstream in (first, second):
            await upstream.resolve(REPOSITORY, TAG)
        for update in updates:
            update()
    found = shown(shared_metrics)
    assert (found["requests_total", "hub"], found["requests_total", "other"]) == (5, 0)
    assert found["head_fallbacks_total", "hub", "manifest"] == 2
    assert found["head_fallbacks_total", "hub", "blob"] == 0
    assert found["received_bytes_total", "hub"] == 3 * len(MANIFEST)
    assert [found["quota_remaining", "hub", worker] for worker in ("0", "1")] == [76, 76]
    assert found["quota_limit", "hub", "0"] == 100


async def test_a_host_that_rests_and_why_it_failed(server: ScriptedServer) -> None:
    ours = UpstreamMetrics(["hub"], workers=1)
    shared_metrics = SharedMetrics(ours.families)
    async with UpstreamRegistry.open(name="hub", url=server.url, plain_http=True, policy=QUICK) as upstream:
        server.on(f"GET {TAG_PATH}", Reply(503))
        for _ in range(QUICK.thresholds.failures):
            with pytest.raises((UpstreamBusy, CircuitOpen)):
                await upstream.get_manifest(REPOSITORY, TAG)
        for update in ours.followed(shared_metrics.slot(), 0, {"hub": upstream}):
            update()
    found = shown(shared_metrics)
    assert found["hosts_circuit_open", "hub"] == 1
    assert found["failures_total", "hub", "busy"] >= 1
    assert math.isnan(found["quota_remaining", "hub", "0"])
