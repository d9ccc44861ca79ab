"""The complete metrics page of a serving process, and the alerts and documents that use its metric names."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from mirror.access.certificates.certificate_metrics import EXPIRES
from mirror.access.issuer.issuer_metrics import KEY_FETCHES
from mirror.access.login_metrics import LOGINS
from mirror.admission.admission_metrics import DECISIONS, STANDING
from mirror.app.configuration.configuration_state import CONFIGURATION_GAUGES
from mirror.app.metrics import FAMILIES, Metrics, process_updates, request_updates
from mirror.app.storage.collection_metrics import FAMILIES as COLLECTION_FAMILIES
from mirror.app.storage.quota_wiring import USED_RATIO
from mirror.bundle.stream_metrics import GAUGES as STREAM_GAUGES
from mirror.events.change_metrics import audit_gauge, event_gauges
from mirror.filters.engine_tracking import PULLS
from mirror.filters.quota_metrics import quota_families
from mirror.lifecycle.backup_metrics import BACKUP_GAUGES
from mirror.lifecycle.budget_metrics import BUDGET_METRICS
from mirror.lifecycle.scrub_report import METRICS as SCRUB_METRICS
from mirror.oci.errors import CatalogFault
from mirror.proxy.pull_metrics import families as pull_families
from mirror.runtime.logs import LogLines
from mirror.runtime.metrics.metric_updates import MetricUpdates
from mirror.runtime.metrics.shared_metrics import SharedMetrics
from mirror.server.http.activity import Activity
from mirror.server.http.server_limits import ServerLimits
from mirror.store.content.volume import DiskSpace
from mirror.store.registry import Store
from mirror.sync.sync_metrics import GAUGES as RULE_GAUGES
from mirror.sync.sync_metrics import families as rule_families
from mirror.upstream.upstream_metrics import UpstreamMetrics
from tests.support.clocks import START
from tests.support.served import CONFIG, LAYER, MANIFEST, REPOSITORY, TAG, put_plugin

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "plugin-mirror.rules.yml"
UNITS = ("_total", "_seconds", "_bytes", "_info")
#: Gauges that count things, and so have no unit.
COUNTS = {"requests_in_flight", "connections", "uploads_receiving", "uploads_open", "storage_files", "repositories"}
COUNTS |= {"manifests", "tags", "process_open_fds", "process_max_fds", "volume_inodes", "volume_free_inodes"}
COUNTS |= {"damaged_content", "events", "config_reload_success", "config_restart_needed"}
#: Those that depend on the configuration.
OTHER_FAMILIES = [
    *rule_families(["a rule"]),
    *pull_families(["hub"]),
    *UpstreamMetrics(["hub"], 2).families,
    *COLLECTION_FAMILIES,
    *(family for family, _ in (*RULE_GAUGES, *STREAM_GAUGES, *SCRUB_METRICS, *BUDGET_METRICS, *BACKUP_GAUGES)),
    audit_gauge(None, START)[0],
    *(family for family, _ in event_gauges([], [], START)),
    *quota_families(["repositories acme/**"]),
    USED_RATIO,
    EXPIRES,
    DECISIONS,
    PULLS,
    LOGINS,
    KEY_FETCHES,
    STANDING,
    *CONFIGURATION_GAUGES,
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def metrics(store: Store) -> AsyncIterator[Metrics]:
    lines = LogLines(io.StringIO())
    yield made(SharedMetrics(FAMILIES), 0, store, Activity.within(ServerLimits()), lines)[0]
    lines.close()


def made(
    shared_metrics: SharedMetrics, place: int, store: Store, activity: Activity, lines: LogLines
) -> tuple[Metrics, MetricUpdates]:
    """Return the metrics of a process, and the functions that keep them up to date."""
    updates, slot = MetricUpdates(), shared_metrics.slot(place)
    updates.add(process_updates(slot, activity, store.monitoring, lines))
    updates.add(request_updates(slot, activity))
    return Metrics(shared_metrics, FAMILIES, updates, store=store, more=nothing_more), updates


async def nothing_more() -> list[Metric]:
    return []


async def read(metrics: Metrics) -> dict[str, Metric]:
    _, body = await metrics.page("")
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


async def values(metrics: Metrics) -> dict[str, float]:
    return {
        sample.name.removeprefix("plugin_mirror_"): sample.value
        for family in (await read(metrics)).values()
        for sample in family.samples
        if not sample.labels
    }


async def exposed(metrics: Metrics) -> set[str]:
    """Return the metric names as queries use them. A histogram is also listed under its plain name."""
    families = (await read(metrics)).values()
    return {sample.name for family in families for sample in family.samples} | {
        family.name for family in families if family.type == "histogram"
    }


async def test_names_begin_with_ours_and_end_with_their_unit(metrics: Metrics) -> None:
    for name, family in (await read(metrics)).items():
        plain = name.removeprefix("plugin_mirror_")
        assert plain != name
        assert family.documentation.endswith((".", "runs."))
        assert f"{name}_total" if family.type == "counter" else plain in COUNTS or name.endswith(UNITS), name


async def test_every_help_text_names_its_subject_and_unit_by_itself(metrics: Metrics) -> None:
    texts = {name: family.documentation for name, family in (await read(metrics)).items()}
    texts |= {family.name: family.help for family in OTHER_FAMILIES}
    assert len(set(texts.values())) == len(texts)
    for name, text in texts.items():
        if name.startswith("plugin_mirror_process_"):  # Prometheus' own texts
            continue
        assert text.endswith("."), name
        assert not re.match(r"(Those|That|How|What|When|The same|Whether)\b|.*\bof them\b", text), (name, text)
        for unit in ("bytes", "seconds"):
            if name.removesuffix("_total").endswith(f"_{unit}"):
                assert unit in text.lower(), (name, text)


async def test_what_the_store_holds(metrics: Metrics, store: Store) -> None:
    await put_plugin(store)
    upload = await store.begin_upload(REPOSITORY)
    found = await values(metrics)
    assert found["storage_bytes"] == len(CONFIG) + len(LAYER) + len(MANIFEST)
    assert [found[name] for name in ("storage_files", "repositories", "manifests", "tags")] == [3, 1, 1, 1]
    assert (found["uploads_open"], found["catalog_transactions_total"]) == (1, store.monitoring.work.transactions)
    assert 0 < found["volume_free_bytes"] < found["volume_size_bytes"]
    await upload.cancel()


async def test_the_catalog_is_not_counted_for_every_scrape(
    metrics: Metrics, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await values(metrics))["tags"] == 0
    await put_plugin(store)
    assert (await values(metrics))["tags"] == 0
    monkeypatch.setattr("mirror.app.metrics._CONTENTS_FRESH_SECONDS", 0.0)
    assert (await values(metrics))["tags"] == 1


async def test_what_happens_in_memory(metrics: Metrics, store: Store) -> None:
    await put_plugin(store)
    for _ in range(3):
        await store.get_manifest(REPOSITORY, TAG)
    lookups = {
        tuple(sample.labels.values()): sample.value
        for sample in (await read(metrics))["plugin_mirror_cache_lookups"].samples
    }
    assert lookups["manifest", "hit"] == 2
    assert lookups["manifest", "miss"] == 1


async def test_a_scrape_survives_a_store_that_does_not(
    metrics: Metrics, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise CatalogFault("disk I/O error")

    monkeypatch.setattr(store.monitoring, "contents", broken)
    found = await values(metrics)
    assert "requests_in_flight" in found
    assert not {"tags", "volume_free_bytes"} & set(found)


async def test_other_processes_are_told_without_being_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirror.runtime.metrics.metric_updates._PERIOD_SECONDS", 0.01)
    shared_metrics, lines, load = (
        SharedMetrics(FAMILIES, processes=2),
        LogLines(io.StringIO()),
        Activity.within(ServerLimits()),
    )
    _, updates = made(shared_metrics, 0, store, load, lines)
    # The cells of the other process are its own, although both are this process here.
    other, _ = made(shared_metrics, 1, store, Activity.within(ServerLimits()), lines)
    keeping_up = asyncio.create_task(updates.keep_up())
    for _ in range(7):
        load.connections.arrived("")
    async with asyncio.timeout(30):
        while (await values(other))["connections"] != 7:
            await asyncio.sleep(0.01)
    keeping_up.cancel()
    await asyncio.wait([keeping_up])
    lines.close()


async def test_the_alerts_ask_for_metrics_that_exist(metrics: Metrics) -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"\bplugin_mirror_\w+", rule["expr"])}
    assert len(asked) >= 6
    assert asked - await exposed(metrics) - {family.name for family in OTHER_FAMILIES} == set()


async def test_the_alerts_are_those_that_are_explained() -> None:
    rules = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert sorted(re.findall(r"(?m)^\| `(PluginMirror\w+)`", (ROOT / "docs" / "OPERATIONS.md").read_text())) == sorted(
        rules
    )


async def test_every_metric_is_explained_with_its_labels(metrics: Metrics) -> None:
    text = (ROOT / "docs" / "OPERATIONS.md").read_text()
    explained = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"(?m)^\| `(plugin_mirror_\w+)` \|([^|]*)\|", text)
    }
    found = {
        f"{name}_total" if family.type == "counter" else name: {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for name, family in (await read(metrics)).items()
    }
    found |= {family.name: set(family.label_names) for family in OTHER_FAMILIES}
    assert explained == found


async def test_however_many_ask_at_the_same_time_the_page_is_made_once(
    metrics: Metrics, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []
    room = store.monitoring.room

    async def counted() -> DiskSpace:
        looks.append(None)
        return await room()

    monkeypatch.setattr(store.monitoring, "room", counted)
    pages = await asyncio.gather(*(metrics.page("") for _ in range(20)))
    assert len(looks) == 1
    assert len(set(pages)) == 1
