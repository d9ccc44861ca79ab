"""The report on the storage in a serving process, and what a pull through it counts."""

from __future__ import annotations

from pathlib import Path

from mirror.app.api_reports import ApiReports
from mirror.app.services import open_services
from mirror.app.storage.storage_report import SECTIONS
from mirror.app.storage.traffic import traffic_counter
from mirror.oci import Repository
from mirror.runtime.clock import SystemClock
from mirror.settings import load


async def test_the_report_has_the_traffic_that_this_process_has_counted_so_far(tmp_path: Path) -> None:
    settings = load(flags={"storage": {"path": str(tmp_path / "data")}})
    async with open_services(settings) as services:
        traffic = traffic_counter(settings, services.store)
        traffic.served(Repository("a"), 1, 100)
        report = await ApiReports(services, {}, SystemClock(), flush=traffic.flush).storage()
        assert list(report) == list(SECTIONS)
        assert report["traffic"] == [
            {"upstream": "", "rule": "", "pulls": 1, "served_bytes": 100, "fetched_bytes": 0, "saved_bytes": 100}
        ]
