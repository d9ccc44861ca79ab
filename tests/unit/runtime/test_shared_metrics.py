"""Metrics shared by processes, and their exposition."""

from __future__ import annotations

import os
import time

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from mirror.runtime.metrics.metric_updates import MetricUpdates
from mirror.runtime.metrics.metrics_exposition import expose, process_metrics, summed_metrics
from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, SharedMetrics

DONE = MetricFamily("done_total", "Things done.", MetricKind.COUNTER, ("how",), [("well",), ("badly",)])
UNDER_WAY = MetricFamily("under_way", "Things under way.", MetricKind.GAUGE)
TOOK = MetricFamily("took_seconds", "How long it took.", MetricKind.HISTOGRAM, bounds=(0.1, 1.0))
FAMILIES = (DONE, UNDER_WAY, TOOK)


def sums(shared_metrics: SharedMetrics) -> dict[str, list[float]]:
    return {
        " ".join((family.name, *labels)): cells for family, series in shared_metrics.sums() for labels, cells in series
    }


def test_each_number_is_the_sum_over_all_processes() -> None:
    shared_metrics = SharedMetrics(FAMILIES, processes=3)
    for process in range(3):
        slot = shared_metrics.slot(process)
        slot.counter(DONE, "well").add()
        slot.counter(DONE, "badly").add(process)
        slot.counter(UNDER_WAY).set(process)
        slot.histogram(TOOK).observe(0.1 * process)
    assert sums(shared_metrics) == {
        "done_total well": [3],
        "done_total badly": [3],
        "under_way": [3],
        "took_seconds": [2, 1, 0, pytest.approx(0.3)],
    }


def test_what_a_dead_process_has_counted_stays_and_what_it_had_under_way_ends() -> None:
    shared_metrics = SharedMetrics(FAMILIES, processes=2)
    shared_metrics.slot(0).counter(DONE, "well").add(5)
    child = os.fork()
    if not child:
        slot = shared_metrics.slot(1)
        slot.counter(DONE, "well").add(7)
        slot.counter(UNDER_WAY).set(2)
        os._exit(0)
    os.waitpid(child, 0)
    assert sums(shared_metrics)["done_total well"] == [12]
    assert shared_metrics.processes == {0: os.getpid(), 1: child}

    successor = shared_metrics.slot(1)
    assert sums(shared_metrics)["under_way"] == [0]
    successor.counter(DONE, "well").add(1)
    assert sums(shared_metrics)["done_total well"] == [13]
    assert shared_metrics.processes == {0: os.getpid(), 1: os.getpid()}


def test_a_counter_that_follows_goes_on_from_its_predecessor_and_a_gauge_does_not() -> None:
    shared_metrics = SharedMetrics(FAMILIES)
    for done in (3, 4):
        slot = shared_metrics.slot()
        for update in (slot.follow(DONE, lambda done=done: done, "well"), slot.follow(UNDER_WAY, lambda: 2)):
            update()
            update()
    assert (sums(shared_metrics)["done_total well"], sums(shared_metrics)["under_way"]) == ([7], [2])


def test_several_sources_may_count_in_one_series() -> None:
    shared_metrics = SharedMetrics(FAMILIES)
    slot, counts = shared_metrics.slot(), [0, 0]
    updates = [slot.follow(DONE, lambda place=place: counts[place], "well") for place in (0, 1)]
    for grown in ([2, 0], [5, 3], [5, 4]):
        counts[:] = grown
        for update in (*updates, *updates):
            update()
        assert sums(shared_metrics)["done_total well"] == [sum(grown)]


MORE = MetricFamily("done_total", "Things done.", MetricKind.COUNTER, ("how",), [("badly",), ("slowly",)])


def test_series_that_come_later_are_shared_too_and_known_ones_keep_their_counts() -> None:
    shared_metrics = SharedMetrics(FAMILIES, processes=2)
    shared_metrics.slot(0).counter(DONE, "badly").add(5)
    assert shared_metrics.extend([MORE, UNDER_WAY])
    child = os.fork()
    if not child:
        assert shared_metrics.extend([TOOK, MORE])  # nothing new
        shared_metrics.slot(1).counter(MORE, "slowly").add(7)
        os._exit(0)
    os.waitpid(child, 0)
    shared_metrics.slot(0).counter(MORE, "slowly").add(1)
    shown = {labels: cells for _, series in shared_metrics.sums([MORE]) for labels, cells in series}
    assert shown == {("badly",): [5], ("slowly",): [8]}
    assert sums(shared_metrics)["done_total badly"] == [5]


def test_more_series_than_there_is_room_for_change_nothing() -> None:
    shared_metrics = SharedMetrics(FAMILIES, spare_cells=1)
    many = MetricFamily("many", "Many things.", MetricKind.GAUGE, ("n",), [("1",), ("2",)])
    assert not shared_metrics.extend([many])
    with pytest.raises(KeyError):
        shared_metrics.slot().counter(many, "1")
    assert shared_metrics.extend([MORE])


def test_a_process_that_takes_its_slot_again_keeps_its_gauges() -> None:
    shared_metrics = SharedMetrics(FAMILIES)
    shared_metrics.slot().counter(UNDER_WAY).set(2)
    shared_metrics.slot()
    assert sums(shared_metrics)["under_way"] == [2]


def test_the_group_added_last_decides_about_a_gauge_and_all_groups_count() -> None:
    shared_metrics, updates = SharedMetrics(FAMILIES), MetricUpdates()
    slot = shared_metrics.slot()
    former, latter = (
        [slot.follow(DONE, lambda done=done: done, "well"), slot.follow(UNDER_WAY, lambda done=done: done)]
        for done in (3, 4)
    )
    updates.add(former)
    updates.run()
    updates.add(latter)
    updates.remove(former)
    assert (sums(shared_metrics)["done_total well"], sums(shared_metrics)["under_way"]) == ([7], [4])
    updates.run()
    assert sums(shared_metrics)["done_total well"] == [7]


@pytest.mark.parametrize(
    ("value", "buckets"),
    [(0.0, [1, 0, 0]), (0.1, [1, 0, 0]), (0.11, [0, 1, 0]), (1.0, [0, 1, 0]), (1.1, [0, 0, 1]), (1e9, [0, 0, 1])],
)
def test_a_bound_belongs_to_its_bucket(value: float, buckets: list[int]) -> None:
    shared_metrics = SharedMetrics(FAMILIES)
    shared_metrics.slot().histogram(TOOK).observe(value)
    assert sums(shared_metrics)["took_seconds"] == [*buckets, value]


def test_a_series_that_was_not_announced_is_none() -> None:
    with pytest.raises(KeyError):
        SharedMetrics(FAMILIES).slot().counter(DONE, "somehow")


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("", "text/plain", text_string_to_metric_families),
        ("text/html", "text/plain", text_string_to_metric_families),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text",
            openmetrics.text_string_to_metric_families,
        ),
    ],
)
def test_the_page_can_be_read_in_both_formats(accept: str, content_type: str, parse: object) -> None:
    shared_metrics = SharedMetrics(FAMILIES)
    slot = shared_metrics.slot()
    slot.counter(DONE, "well").add(2)
    for value in (0.05, 0.5, 5):
        slot.histogram(TOOK).observe(value)
    said, body = expose([*summed_metrics(shared_metrics), *process_metrics(shared_metrics, "ours")], accept)
    assert said.partition(";")[0] == content_type
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(body.decode())  # type: ignore[operator]
        for sample in family.samples
    }
    assert samples["done_total", "well"] == 2
    assert samples["done_total", "badly"] == 0
    assert [samples["took_seconds_bucket", bound] for bound in ("0.1", "1.0", "+Inf")] == [1, 2, 3]
    assert (samples["took_seconds_count",], samples["took_seconds_sum",]) == (3, 5.55)
    assert samples["ours_process_resident_memory_bytes", "0"] > 10_000_000


def test_a_process_is_told_even_where_proc_shows_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open

    def only_processes(path: str, *arguments: object) -> object:
        if path == "/proc/stat":
            raise FileNotFoundError(path)
        return whole(path, *arguments)  # type: ignore[call-overload]

    shared_metrics = SharedMetrics(FAMILIES)
    shared_metrics.slot()
    monkeypatch.setattr("builtins.open", only_processes)
    told = {found.name: found.samples[0].value for found in process_metrics(shared_metrics, "ours")}
    started = told["ours_process_start_time_seconds"]
    assert time.time() - 24 * 3600 < started < time.time()
    assert {"ours_process_resident_memory_bytes", "ours_process_cpu_seconds", "ours_process_open_fds"} < set(told)


def test_a_process_that_is_gone_has_no_memory() -> None:
    shared_metrics = SharedMetrics(FAMILIES)
    child = os.fork()
    if not child:
        shared_metrics.slot()
        os._exit(0)
    os.waitpid(child, 0)
    assert list(process_metrics(shared_metrics, "ours")) == []
