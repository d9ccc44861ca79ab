"""The complete metrics page of a serving process, and the alerts and documents that use its metric names."""

from __future__ import annotations

import asyncio
import io
import json
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
from mirror.app.bucket.bucket_metrics import BUCKET_FAMILIES
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
DASHBOARD = ROOT / "deploy" / "grafana" / "plugin-mirror.json"
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
    *BUCKET_FAMILIES,
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


async def labels_by_name(metrics: Metrics) -> dict[str, set[str]]:
    """Return the labels of each metric that a server can have."""
    found = {
        f"{name}_total" if family.type == "counter" else name: {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for name, family in (await read(metrics)).items()
    }
    return found | {family.name: set(family.label_names) for family in OTHER_FAMILIES}


def queries() -> dict[str, str]:
    """Return the queries of the alerts and of the dashboard by a name."""
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {rule["alert"]: rule["expr"] for rule in rules} | {
        f"{panel['title']}, {target['refId']}": target["expr"]
        for panel in panels
        for target in panel.get("targets", [])
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


async def test_queries_ask_for_metrics_and_labels_that_exist(metrics: Metrics) -> None:
    known = await labels_by_name(metrics)
    assert {name: wrong for name, query in queries().items() if (wrong := unknown_in(query, known))} == {}


def unknown_in(query: str, known: dict[str, set[str]]) -> set[str]:
    """Return the metrics and labels of a query that no server has and Prometheus does not add."""
    usable, unknown = {"instance", "job"}, set[str]()
    for metric, matchers in re.findall(r"\b(plugin_mirror_\w+|up)\b(?:{([^}]*)})?", query):
        plain = metric.removesuffix("_bucket")
        if metric != "up" and plain not in known:
            unknown.add(metric)
        labels = {"instance", "job"} | known.get(plain, set()) | ({"le"} if plain != metric else set())
        unknown |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - labels
        usable |= labels
    grouped = {label for found in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", query) for label in found.split(", ")}
    return unknown | (grouped - usable)


def test_an_unknown_metric_or_label_is_found() -> None:
    known = {"plugin_mirror_a_total": {"route"}, "plugin_mirror_b_seconds": {"rule"}}
    right = 'sum by (route, instance) (rate(plugin_mirror_a_total{route!="x"}[5m])) / plugin_mirror_b_seconds{rule="r"}'
    assert unknown_in(right, known) == set()
    wrong = 'sum by (rule) (rate(plugin_mirror_a_total{worker="x"}[5m])) + plugin_mirror_c'
    assert unknown_in(wrong, known) == {"rule", "worker", "plugin_mirror_c"}
    assert unknown_in("sum by (le) (plugin_mirror_b_seconds_bucket)", known) == set()


def test_a_panel_names_labels_that_its_query_keeps() -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            assert named <= {label for found in kept for label in found.split(", ")}, panel["title"]


def test_a_dashboard_follows_the_chosen_data_source_and_servers() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "instance"}
    for panel in panels:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert target["expr"].count('instance=~"$instance"') == target["expr"].count("{"), panel["title"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for one in panels:
        for other in panels:
            assert one is other or not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[place] < other[place] + other[size] and other[place] < one[place] + one[size]
        for place, size in (("x", "w"), ("y", "h"))
    )


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
    assert explained == await labels_by_name(metrics)


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
