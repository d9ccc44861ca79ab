"""The report on the storage in a serving process, and what a pull through it counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from mirror.app.api_reports import ApiReports
from mirror.app.numbers.storage_report import SECTIONS, storage_report
from mirror.app.numbers.traffic import traffic_counter
from mirror.app.services import open_services
from mirror.oci import Repository
from mirror.records.lifecycle.backups import LastBackup
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


async def test_the_report_has_the_last_backup_and_the_budget(tmp_path: Path) -> None:
    flags = {
        "storage": {"path": str(tmp_path / "data")},
        "upstreams": {"hub": {"url": "https://hub.example"}},
        "proxy": [{"from": "hub/**", "to": "**"}],
    }
    at = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
    async with open_services(load(flags=flags)) as services:
        before = await storage_report(services)
        await services.store.records.backups.record_backup(LastBackup("/backup", at, at, 3, 4096, 0))
        after = await storage_report(services)
    assert before["backup"] is None
    assert after["backup"] == {
        "target": "/backup",
        "created": "2026-11-29T03:00:00Z",
        "finished": "2026-11-29T03:00:00Z",
        "blobs": 3,
        "size_bytes": 4096,
        "damaged": 0,
    }
    assert isinstance(after["budget"], dict)
    json.dumps(after)


async def test_parts_that_are_not_in_use_have_no_section(tmp_path: Path) -> None:
    async with open_services(load(flags={"storage": {"path": str(tmp_path / "data")}})) as services:
        report = await storage_report(services)
    assert [name for name, section in report.items() if section is None] == ["budget", "quotas", "backup"]
