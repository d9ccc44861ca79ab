"""``status``: times are shown as ages for people, and in ISO 8601 for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mirror.app import mirroring
from mirror.app.bundles import bundle_streams
from mirror.bundle.bundle_age import AgeLimits
from mirror.bundle.stream_status import StreamStatus
from mirror.cli.command_line import run
from mirror.oci import Digest, Repository, Tag
from mirror.records.bundle_trust import StreamState
from mirror.records.sync_runs import Run, RunOutcome, TagChange, TagEvent, TagOutcome, TagRecord
from mirror.sync.rule import MirrorRule
from mirror.sync.rule_status import RuleStatus

NOW = datetime(2026, 11, 28, 18, 28, 40, 250, tzinfo=UTC)
A, B = Digest.of(b"a"), Digest.of(b"b")
HOUR = timedelta(hours=1)
RULE = MirrorRule.parse("contiv", "hub/store/contiv/v2plugin", "contiv/v2plugin")


@pytest.fixture(autouse=True)
def one_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [Run(1, "contiv", NOW - 3 * HOUR, NOW - 2 * HOUR, RunOutcome.SUCCEEDED)]
    moved = TagEvent(
        Repository("contiv/v2plugin"), Tag("1"), NOW - 3 * HOUR, TagChange.MOVED, A, B, "hub/store/contiv/v2plugin"
    )
    part = TagRecord(Repository("a"), Tag("1"), TagOutcome.UNCHANGED, warnings=("linux/arm64 is gone upstream",))
    status = RuleStatus(RULE, NOW, runs, runs[0].ended_at, NOW + 4 * HOUR, [], [part], [moved])

    async def states(_: Any) -> list[RuleStatus]:
        return [status]

    async def streams(_: Any) -> list[StreamStatus]:
        state = StreamState("site", 7, A, NOW - 1000 * HOUR, NOW - 5 * HOUR)
        return [StreamStatus.of_imported(state, NOW, AgeLimits())]

    monkeypatch.setattr(mirroring, "mirror_statuses", states)
    monkeypatch.setattr(bundle_streams, "imported_streams", streams)
    monkeypatch.setenv("COLUMNS", "200")


def test_people_see_how_long_ago_something_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == 0
    shown = capsys.readouterr().out
    assert "succeeded  3 h ago   2 h ago       in 4 h" in shown
    assert f"\n  3 h ago: contiv/v2plugin:1 moved from {A} to {B}, at hub/store/contiv/v2plugin\n" in shown


def test_the_last_bundle_of_each_stream_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == 0
    shown = capsys.readouterr()
    assert "site              7  42 d ago  5 h ago   no" in shown.out
    assert "warning: site: the bundle is 42 d old" in shown.err
    assert run(["status", "--json"]) == 0
    (stream,) = json.loads(capsys.readouterr().out)["bundles"]
    assert (stream["serial"], stream["age_seconds"], stream["signed"]) == (7, 3_600_000.0, False)


def test_warnings_of_tags_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == 0
    assert "\n  warning: a:1: linux/arm64 is gone upstream\n" in capsys.readouterr().out
    assert run(["status", "--json"]) == 0
    (state,) = json.loads(capsys.readouterr().out)["mirrors"]
    assert state["last_entries"][0]["warnings"] == ["linux/arm64 is gone upstream"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("hub: no connection", "\n  reason: hub: no connection\n"),  # recorded before reasons had a fix
        ("hub: no connection; fix: check the network", "\n  reason: hub: no connection; fix: check the network\n"),
        ("", ""),
    ],
)
def test_the_reason_of_a_failure_is_shown_as_it_was_recorded(
    reason: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Run(1, "contiv", NOW - 3 * HOUR, NOW - 2 * HOUR, RunOutcome.FAILED, reason=reason)

    async def states(_: Any) -> list[RuleStatus]:
        return [RuleStatus(RULE, NOW, [failed], None, NOW + 4 * HOUR, [], [], [])]

    monkeypatch.setattr(mirroring, "mirror_statuses", states)
    assert run(["status"]) == 1
    out = capsys.readouterr().out
    assert shown in out
    assert out.count("fix:") == shown.count("fix:")
    assert out.count("reason:") == shown.count("reason:")


def test_programs_see_times_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json"]) == 0
    (state,) = json.loads(capsys.readouterr().out)["mirrors"]
    assert (state["runs"][0]["started_at"], state["runs"][0]["ended_at"]) == (
        "2026-11-28T15:28:40Z",
        "2026-11-28T16:28:40Z",
    )
    assert (state["last_success_at"], state["next_run_at"]) == ("2026-11-28T16:28:40Z", "2026-11-28T22:28:40Z")
    assert state["events"][0]["at"] == "2026-11-28T15:28:40Z"
