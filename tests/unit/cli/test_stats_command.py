"""``stats``: the report for people and for programs."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.app.numbers.storage_report import SECTIONS
from mirror.cli.command_line import run
from mirror.cli.storage import stats_output
from mirror.oci import Repository
from mirror.records.lifecycle.storage_numbers import Traffic, TrafficSource
from mirror.store.catalog import rows
from mirror.store.catalog.tables.sync_tables import pulls
from mirror.store.registry import Store
from tests.support.builders import hold, plugin

NAME = Repository("contiv/v2plugin")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two plugins of one config, pulls and traffic."""
    folder = tmp_path / "data"
    pulled = {
        "repository": NAME.name,
        "target": "1.0",
        "pulled_at": datetime.now(UTC) - timedelta(hours=3),
        "count": 12,
    }

    async def fill() -> None:
        async with Store.open(folder) as store:
            await hold(store, NAME, [b"{}", b"x" * 2048], [plugin(b"{}", b"x" * 2048)], "1.0", "latest")
            await hold(store, NAME, [b"{}", b"y" * 2048], [plugin(b"{}", b"y" * 2048)], "2.0")
            await store.records.traffic.add({TrafficSource("hub", "**"): Traffic(3, 3072, 1024)})
            await store.services.catalog.write_uncached(lambda connection: rows.put(connection, pulls, pulled))

    asyncio.run(fill())
    return folder


def test_people_see_sizes_and_ages(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "CONTENT\n3 tags and 2 manifests in 1 repository\n5 files with " in shown
    assert "\nhub       **        3  3.0 KiB  1.0 KiB  2.0 KiB\n" in shown
    assert "\ncontiv/v2plugin:1.0     12    3 h ago\n" in shown
    assert "COLLECTION\n0 files with 0 B removed so far\n" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_programs_see_bytes_and_times(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", "--json", "--data", str(data)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["content"]["tags"], report["content"]["shared_bytes"]) == (3, 2)
    (row,) = report["traffic"]
    assert row == {
        "upstream": "hub",
        "rule": "**",
        "pulls": 3,
        "served_bytes": 3072,
        "fetched_bytes": 1024,
        "saved_bytes": 2048,
    }
    assert report["pulls"][0]["last_pulled_at"].endswith("Z")
    assert report["repositories"][0]["name"] == NAME.name
    assert report["collection"]["doomed"] == {"files": 0, "size_bytes": 0}


def test_a_missing_data_folder_is_not_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", "--data", str(tmp_path / "none")]) == 2
    assert "no data folder" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_every_section_has_a_form() -> None:
    assert set(stats_output.PRINTED) == set(SECTIONS)


def test_upkeep_is_told_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC)
    recent = (now - timedelta(hours=2)).isoformat()
    run_now = {"started_at": recent, "files": 7, "read_bytes": 4096, "damaged": 1}
    stats_output.print_report(
        {
            "budget": {
                "used_bytes": 2048,
                "budget_bytes": 4096,
                "unused_for_seconds": 7776000,
                "tags": 2,
                "evicted": {"tags": 1, "size_bytes": 1024},
                "emergencies": 1,
                "last_emergency_at": recent,
            },
            "scrub": {"last_finished_at": None, "running": {"background": run_now}, "damaged": 1, "healed": 3},
            "backup": {"created": recent, "target": "/mnt/backup", "blobs": 4, "size_bytes": 1024, "damaged": 2},
        }
    )
    assert capsys.readouterr().out == (
        "BUDGET\n2.0 KiB of 4.0 KiB, in 2 tags\ntags go when nobody has pulled them for 90 d\n"
        "1 tag with 1.0 KiB evicted so far\nfull disks: 1, the last one 2 h ago\n\n"
        "SCRUB\nno scrub has ended yet\n"
        f"background: since {recent}, 7 files, 4.0 KiB read so far, 1 damaged\n"
        "1 file damaged now, 3 healed so far\n\n"
        "BACKUP\n2 h ago to /mnt/backup\n4 blobs with 1.0 KiB, 2 lost\n\n"
    )
