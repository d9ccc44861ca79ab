"""Reload of workers by their parent: what is proposed, what is decided, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mirror.app.configuration import supervision
from mirror.app.configuration.server_record import RunningServer, ServerRecord
from mirror.app.configuration.settings_source import Reading, SettingsSource
from mirror.app.configuration.supervision import NO_ROOM, Decision, Proposal, Supervision
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load

NOW = datetime(2026, 11, 28, 18, 28, 40, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic_seconds(self) -> float:
        return 0.0


class Workers:
    """Workers that answer the next proposal in this way."""

    def __init__(self, refusals: list[str]) -> None:
        self.refusals = refusals
        self.heard: list[Any] = []

    def propose(self, number: int, message: Any, within_seconds: float) -> list[str]:
        assert within_seconds > 0
        assert message.number == number
        self.heard.append(message)
        return self.refusals if isinstance(message, Proposal) else []


class Record(ServerRecord):
    """A record in memory."""

    def __init__(self) -> None:
        super().__init__(None, RunningServer(1, "", ("127.0.0.1:5000",), has_tls=False))
        self.heard: list[tuple[Any, ...]] = []

    def reload_begins(self, number: int) -> None:
        self.heard.append(("begins", number))

    def reload_ended(self, number: int, refusal: str, waiting: Any) -> None:
        self.heard.append(("ended", number, refusal, tuple(waiting)))


BEFORE, AFTER = load(), load(flags={"log": {"level": "debug"}, "server": {"workers": 3}})


def raised(error: Exception) -> Settings:
    raise error


def reloaded(
    read: Callable[[], Settings] = lambda: AFTER, refusals: list[str] | None = None, *, has_room: bool = True
) -> tuple[SettingsSource, Workers, Record]:
    source = SettingsSource(read, "c.yaml", BEFORE, BEFORE, FixedClock())
    workers, record = Workers(refusals or []), Record()
    Supervision(source, record, lambda _settings: has_room).hung_up(workers)  # type: ignore[arg-type]
    return source, workers, record


def test_all_workers_get_what_the_parent_has_read_and_then_the_decision() -> None:
    source, workers, record = reloaded()
    proposal, decision = workers.heard
    assert isinstance(proposal, Proposal)
    assert (proposal.settings.log.level, proposal.settings.server.workers) == ("debug", 1)
    assert decision == Decision(1, source.state)
    assert (source.state.settings, source.state.refusal, source.state.loaded_at) == (proposal.settings, "", NOW)
    assert record.heard == [("begins", 1), ("ended", 1, "", ("server.workers",))]
    assert source.number == 2


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"read": lambda: raised(ConfigurationFault("c.yaml: unknown key"))}, "c.yaml: unknown key"),
        ({"read": lambda: raised(RecursionError("deep"))}, "unexpected RecursionError: deep"),
        ({"refusals": ["no such file", "no such file"]}, "no such file"),
        ({"has_room": False}, NO_ROOM),
    ],
)
def test_a_refusal_by_anybody_keeps_the_settings_everywhere(how: dict[str, Any], reason: str) -> None:
    source, workers, record = reloaded(**how)
    assert (source.state.settings, source.state.refusal, source.state.waiting) == (BEFORE, reason, ())
    assert workers.heard[-1] == Decision(1, source.state)
    assert record.heard[-1] == ("ended", 1, reason, ())


def test_a_refusal_after_a_success_keeps_what_waits() -> None:
    answers = iter([lambda: AFTER, lambda: raised(ConfigurationFault("wrong"))])

    def read() -> Settings:
        return next(answers)()

    source = SettingsSource(read, "c.yaml", BEFORE, BEFORE, FixedClock())
    workers, record = Workers([]), Record()
    supervised = Supervision(source, record, lambda _settings: True)
    for _ in range(2):
        supervised.hung_up(workers)  # type: ignore[arg-type]
    assert (source.state.refusal, source.state.waiting, source.state.reloads) == ("wrong", ("server.workers",), 2)
    assert source.state.settings.log.level == "debug"


def test_a_terminal_that_is_gone_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: killed.append((pid, number)))
    terminals = iter([True, True, False])
    monkeypatch.setattr(supervision, "has_terminal", lambda: next(terminals))
    source = SettingsSource(lambda: AFTER, "c.yaml", BEFORE, BEFORE, FixedClock())
    supervised = Supervision(source, Record(), lambda _settings: True)
    supervised.hung_up(Workers([]))  # type: ignore[arg-type]
    assert (source.state.reloads, killed) == (1, [])
    supervised.hung_up(Workers([]))  # type: ignore[arg-type]
    assert (source.state.reloads, [number for _, number in killed]) == (1, [15])


def test_an_empty_file_and_new_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("# the defaults\n")
    before = load(file)
    source = SettingsSource(partial(load, file), str(file), before, before, FixedClock())
    assert source.look().settings == before
    file.write_text("")
    assert source.look().fault == f"{file}: is empty, fix: write the settings; a comment is enough for the defaults"
    file.write_text(f"upstreams: {{hub: {{url: 'https://hub.example', tls: {{ca_file: {tmp_path}/no.pem}}}}}}\n")
    assert source.look().fault == (
        f"{file}:1: upstreams.hub.tls.ca_file: does not exist ({tmp_path}/no.pem), "
        "fix: create the file, or correct the path"
    )
    source.end(Reading(load(file)), "")
    assert source.look().fault == ""
    file.write_text(f"events: [{{url: 'https://hooks.example/', secret_file: {tmp_path}/none}}]\n")
    fault = (
        f"{file}:1: events[1].secret_file: {tmp_path}/none cannot be read: No such file or directory, so hooks.example "
    )
    assert source.look().fault.startswith(f"{fault}gets no events, fix: ")
    source.end(Reading(load(file)), "")
    assert source.look().fault == ""
    file.write_text(f"server: {{tls: {{certificate: {tmp_path}/no.crt, key: {tmp_path}/no.key}}}}\n")
    assert "/no.crt cannot be read: No such file or directory; fix: " in source.look().fault
