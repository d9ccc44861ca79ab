"""``sync``: a run and a dry run have the same JSON shape, summary and exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mirror.app import mirroring
from mirror.cli.command_line import run
from mirror.oci import Digest, Repository, Tag
from mirror.oci.errors import ConfigurationFault, MirrorError, UpstreamPaused, UpstreamUnreachable
from mirror.records.sync_runs import TagChange, TagOutcome, TagRecord
from mirror.sync.run_result import RuleResult, RunSummary

NAME, SOURCE = Repository("contiv/v2plugin"), Repository("store/contiv/v2plugin")
A, B = Digest.of(b"a"), Digest.of(b"b")
COPIED = TagRecord(NAME, Tag("1.0"), TagOutcome.COPIED, None, A, 1234, "with 1 referrer(s)", SOURCE)
SIGNATURE = TagRecord(NAME, Tag("sha256-1.sig"), TagOutcome.COPIED, None, B, 9000, source=SOURCE)
UNCHANGED = TagRecord(NAME, Tag("0.9"), TagOutcome.UNCHANGED, A, A, source=SOURCE)
MOVED = TagRecord(NAME, Tag("1"), TagOutcome.COPIED, A, B, 0, "", SOURCE, None, TagChange.MOVED, ("+ network: host",))


@pytest.fixture(params=[True, False], ids=["dry run", "run"])
def dry_run(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def sync(
    monkeypatch: pytest.MonkeyPatch,
    *options: str,
    dry_run: bool,
    error: MirrorError | None = None,
    results: tuple[RuleResult, ...] = (),
) -> int:
    records = [COPIED, SIGNATURE, UNCHANGED, MOVED]
    failed = TagRecord(NAME, Tag("2"), TagOutcome.FAILED, source=SOURCE)
    if error is not None:
        records.append(failed.failed(error, str(error)))

    async def ran(*_: Any) -> RunSummary:
        return RunSummary(results or (RuleResult("contiv", tuple(records)),))

    monkeypatch.setattr(mirroring, "dry_run" if dry_run else "sync", ran)
    Path("c.yaml").write_text("{}")
    return run(["sync", "--config", "c.yaml", *options, *(["--dry-run"] if dry_run else [])])


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_shape_of_json(dry_run: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync(monkeypatch, "--json", dry_run=dry_run) == 0
    shown = json.loads(capsys.readouterr().out)
    (rule,) = shown.pop("rules")
    assert shown == {
        "planned": 0,
        "copied": 3,
        "unchanged": 1,
        "skipped": 0,
        "failed": 0,
        "gone": 0,
        "dropped": 0,
        "moved_bytes": 10234,
        "dry_run": dry_run,
    }
    assert rule["tags"][0] == {
        "name": NAME.name,
        "tag": "1.0",
        "source": SOURCE.name,
        "outcome": "copied",
        "change": None,
        "before": None,
        "digest": str(A),
        "derived_from": None,
        "privileges": [],
        "moved_bytes": 1234,
        "advice": "",
        "warnings": [],
        "reason": "with 1 referrer(s)",
        "error": None,
    }


def test_a_dry_run_tells_each_tag_and_ends_with_the_summary_of_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = "3 copied, 1 unchanged, 0 failed; 10.0 KiB from upstream"
    assert sync(monkeypatch, dry_run=False) == 0
    assert capsys.readouterr().out == f"{summary}\n"
    assert sync(monkeypatch, dry_run=True) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "contiv/v2plugin:1.0 copied 1.2 KiB: with 1 referrer(s)",
        "contiv/v2plugin:sha256-1.sig copied 8.8 KiB",
        "contiv/v2plugin:0.9 unchanged",
        "contiv/v2plugin:1 copied 0 B",
        f"dry run: {summary}",
    ]
    assert told.err.splitlines() == [f"moved: contiv/v2plugin:1 from {A} to {B}", "  privilege + network: host"]


def test_a_paused_rule_is_told_with_the_tags_that_are_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = TagRecord(NAME, Tag("2"), TagOutcome.PLANNED, source=SOURCE)
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    error = UpstreamPaused("upstream hub: HEAD … answered 429")
    result = RuleResult("contiv", (replace(COPIED, warnings=("a referrer is broken",)), left), error, at)
    assert sync(monkeypatch, results=(result,), dry_run=False) == 3
    told = capsys.readouterr()
    assert told.out == "1 copied, 0 unchanged, 0 failed, 1 not tried; 1.2 KiB from upstream\n"
    assert told.err.splitlines() == [
        "warning: contiv/v2plugin:1.0: a referrer is broken",
        "rule contiv paused: upstream hub: HEAD … answered 429; may go on at 2026-01-02T03:04:00Z",
    ]
    sync(monkeypatch, "--json", results=(result,), dry_run=False)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["failed"], shown["planned"]) == (0, 1)
    assert (shown["rules"][0]["paused"], shown["rules"][0]["goes_on_at"]) == (True, "2026-01-02T03:04:00Z")


@pytest.mark.parametrize(("error", "code"), [(UpstreamUnreachable("x"), 3), (ConfigurationFault("x"), 2)])
def test_the_exit_code_says_what_failed(
    dry_run: bool, error: MirrorError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync(monkeypatch, dry_run=dry_run, error=error) == code
    capsys.readouterr()
