"""``events``."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.app.services import open_store
from mirror.cli.command_line import run
from mirror.records.changes.change import ReaderPosition
from mirror.records.changes.deliveries import Delivery
from mirror.settings import load

Captured = pytest.CaptureFixture[str]
MADE = datetime(2026, 11, 30, 7, 34, 17, tzinfo=UTC)
REASON = "no connection: [/red]its address is a loopback address, to which no name may lead"


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration with two endpoints: one that has failed and one without events. A third one was removed."""
    file, hook = tmp_path / "config.yaml", {"url": "https://hooks.example/", "secret_file": "secret"}
    events = [hook, hook | {"name": "tickets"}]
    file.write_text(json.dumps({"storage": {"path": str(tmp_path / "data")}, "events": events}))
    return f"--config={file}"


def deliver(tmp_path: Path, *deliveries: Delivery) -> None:
    """Put events on their way."""

    async def put() -> None:
        async with open_store(load(None, {"storage": {"path": tmp_path / "data"}})) as store:
            records = store.records.deliveries
            await records.take(deliveries, "event:hooks.example", ReaderPosition(9), ["event:hooks.example"])

    asyncio.run(put())


def event(endpoint: str, change: int, problem: str = "", *, is_dead: bool = False) -> Delivery:
    due_at = None if is_dead else MADE + timedelta(hours=1)
    return Delivery(endpoint, change, "acme/driver", "{}", MADE, bool(problem), due_at, problem)


def test_endpoints_without_events(tmp_path: Path, config: str, capsys: Captured) -> None:
    deliver(tmp_path)
    assert run(["events", "ls", config]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["ENDPOINT", "WAITING", "SINCE", "DEAD", "LETTERS", "LAST", "PROBLEM"],
        ["hooks.example", "0", "-", "0", "-"],
        ["tickets", "0", "-", "0", "-"],
    ]
    assert run(["events", "ls", f"--data={tmp_path / 'data'}"]) == 0
    assert "the configuration has no endpoints under events:" in capsys.readouterr().err


def test_an_endpoint_that_fails_shows_the_reason_also_before_an_event_is_dead(
    tmp_path: Path, config: str, capsys: Captured
) -> None:
    deliver(tmp_path, event("hooks.example", 1, REASON), event("hooks.example", 2))
    assert run(["events", "ls", config]) == 0
    _, row, other = capsys.readouterr().out.splitlines()
    endpoint, waiting, since, dead, told = row.split(maxsplit=4)
    assert (endpoint, waiting, since, dead, told) == ("hooks.example", "2", "2026-11-30T07:34:17Z", "0", REASON)
    assert other.split() == ["tickets", "0", "-", "0", "-"]


def test_dead_letters_are_exit_code_1_and_go_again(tmp_path: Path, config: str, capsys: Captured) -> None:
    deliver(tmp_path, event("tickets", 1, REASON, is_dead=True), event("tickets", 2, REASON, is_dead=True))
    assert run(["events", "ls", "--json", config]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert rows[1] == {
        "endpoint": "tickets",
        "configured": True,
        "waiting": 0,
        "waiting_since": None,
        "dead_letters": 2,
        "problem": REASON,
    }
    assert run(["events", "resend", "tickets", "--change", "2", config]) == 0
    assert run(["events", "resend", "hooks.example", config]) == 0
    assert run(["events", "resend", config]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 event will be sent again",
        "0 events will be sent again",
        "1 event will be sent again",
    ]
    assert run(["events", "ls", config]) == 0


def test_events_of_a_former_endpoint_say_so(tmp_path: Path, config: str, capsys: Captured) -> None:
    deliver(tmp_path, event("former", 1, REASON), event("former", 2, REASON, is_dead=True))
    assert run(["events", "ls", config]) == 0
    told = capsys.readouterr().out.partition("former")[2]
    assert " ".join(told.split()) == "1 2026-11-30T07:34:17Z 1 not in the configuration"
    assert run(["events", "resend", "former", config]) == 2
    told = capsys.readouterr().err
    assert told == "error: no endpoint is called 'former'; fix: write one of: hooks.example, tickets\n"
    assert run(["events", "resend", config]) == 0
    assert capsys.readouterr().out == "0 events will be sent again\n"
