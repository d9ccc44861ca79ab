"""``plugin-mirror host apply``: the plan, the question, the results and the exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mirror.app.hosts.host_applying import HostPlanner
from mirror.cli.command_line import run
from mirror.hosts.desired_plugin import DesiredPlugin
from mirror.hosts.engine_client import EngineClient
from mirror.hosts.host_lock import host_lock
from mirror.hosts.host_plan import HostPlan
from mirror.settings.host_file import host_file_schema
from tests.unit.hosts.fake_engine import GONE, MISSING, FakeEngine, env, release

MOUNT = {"Name": "data", "Source": "/tmp", "Destination": "/d", "Type": "bind", "Options": ["rbind"]}
ONE = release("1", Env=[env("A", "one")], Mounts=[MOUNT | {"Settable": ["source"]}])
PLAIN = release("plain", Env=[env("A", "plain")])
BROKEN = release("broken", Entrypoint=[MISSING])
FILE = ["host", "apply", "plugins.yaml"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    """An engine that the command reaches at any address."""
    monkeypatch.chdir(tmp_path)
    engine = FakeEngine([ONE, PLAIN, BROKEN])

    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[FakeEngine]:
        yield engine

    async def plan(_: object, desired: tuple[DesiredPlugin, ...], **options: Any) -> HostPlan:
        return engine.plan(*desired, **options)

    monkeypatch.setattr(EngineClient, "open", opened)
    monkeypatch.setattr(HostPlanner, "plan", plan)
    return engine


def wanted(*plugins: str) -> None:
    Path("plugins.yaml").write_text("plugins:\n" + "\n".join(f"- {{{plugin}}}" for plugin in plugins))


def test_a_plan_shows_privileges_and_what_settings_reach(engine: FakeEngine, capsys: pytest.CaptureFixture[str]):
    wanted("name: 'm:5000/p:1', alias: a, settings: {data: /etc}")
    assert run([*FILE, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Docker Engine 26.1.5: 1 to change, 0 as wanted",
        "a:latest: install from m:5000/p:1, set, enable",
        f"    digest: {ONE.digest}",
        "    set data=/etc",
        "    privileges that the engine asks for:",
        "    - mount: [/tmp]",
        "        It reads and writes /tmp of the host, as root. A host may set another source.",
        "    the engine does not check that mount: [/tmp] was granted (CVE-2026-33997)",
        "    access that the settings give, and that the engine does not ask for:",
        "    - mount: [/etc]",
        "        It can change the host's own files in /etc: as good as root on the host. "
        "A host may set another source.",
        "the engine has CVE-2026-33997 and does not compare the first privilege that a plugin asks for with what was "
        "granted; fix: upgrade to 29.3.1 or later, or to 25.0.16 or later within 25.0",
    ]
    assert engine.calls == []


def test_without_a_terminal_privileges_must_be_granted_by_digest(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
):
    wanted("name: 'm:5000/p:1', alias: a")
    assert run(FILE) == 1
    assert f"nothing was changed; fix: read the plan, then add --grant {ONE.digest}" in capsys.readouterr().err
    assert run([*FILE, "--grant", str(PLAIN.digest)]) == 1
    assert engine.calls == []
    assert run([*FILE, "--grant", str(ONE.digest)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["", "a:latest: done: install, enable"]
    assert run(FILE) == 0
    assert capsys.readouterr().out == "Docker Engine 26.1.5: 0 to change, 1 as wanted\na:latest: as wanted\n"


def test_a_change_without_privileges_needs_no_consent_without_a_terminal(engine: FakeEngine):
    wanted("name: 'm:5000/p:plain'")
    assert run(FILE) == 0
    assert engine.found("m:5000/p:plain") is not None


@pytest.mark.parametrize(("said", "exit_code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 4)])
def test_on_a_terminal_the_plan_is_asked_about_once(
    engine: FakeEngine,
    said: str,
    exit_code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    wanted("name: 'm:5000/p:1', alias: a", "name: 'm:5000/p:1', alias: b")
    monkeypatch.setattr(sys, "stdin", Terminal(said))
    assert run(FILE) == exit_code
    assert capsys.readouterr().err.count("Grant these privileges and make the changes? [y/N]") == 1
    assert (engine.found("b:latest") is not None) == (exit_code == 0)


def test_a_failure_is_told_with_what_was_done(engine: FakeEngine, capsys: pytest.CaptureFixture[str]):
    wanted("name: 'm:5000/p:plain', alias: a")
    assert run(FILE) == 0
    wanted("name: 'm:5000/p:broken', alias: a", "name: 'm:5000/p:plain', alias: b", "name: x, alias: c, state: absent")
    capsys.readouterr()
    assert run(FILE) == 1
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "",
        "a:latest: rolled back: the engine did not: exec: /nope: no such file",
        "    now: installed from m:5000/p:plain, enabled",
        "b:latest: done: install, enable",
    ]
    engine.fail(None, GONE)
    wanted("name: 'm:5000/p:broken', alias: a", "name: 'm:5000/p:plain', alias: d")
    assert run([*FILE, "--json"]) == 3
    first, second = json.loads(capsys.readouterr().out)["plugins"]
    assert (first["outcome"], first["done"]) == ("not rolled back", ["disable"])
    assert first["left"] == "unknown, because the engine does not answer"
    assert (second["outcome"], second["done"]) == ("not done", [])


def test_a_registry_that_the_engine_cannot_read_is_a_failure_of_the_other_side(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
):
    plan = HostPlanner.plan

    async def plan_and_lose_the_registry(*given: Any, **options: Any) -> HostPlan:
        planned = await plan(*given, **options)
        engine.registry.clear()
        return planned

    monkeypatch.setattr(HostPlanner, "plan", plan_and_lose_the_registry)
    wanted("name: 'm:5000/p:1', alias: a")
    assert run([*FILE, "--yes"]) == 3


def test_one_run_at_a_time_changes_an_engine(engine: FakeEngine, capsys: pytest.CaptureFixture[str]):
    engine.engine_id = f"{uuid.uuid4()}"
    wanted("name: 'm:5000/p:1', alias: a")
    with host_lock(engine.engine_id):
        assert run([*FILE, "--dry-run"]) == 0
        assert run([*FILE, "--yes"]) == 1
        assert "another 'host apply' is changing the plugins of this engine" in capsys.readouterr().err
        assert engine.calls == []
    assert run([*FILE, "--yes"]) == 0
    with host_lock(engine.engine_id):
        assert run(FILE) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_pull_is_rolled_back(
    engine: FakeEngine, number: signal.Signals, capsys: pytest.CaptureFixture[str]
):
    async def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    wanted("name: 'm:5000/p:plain', alias: a")
    assert run(FILE) == 0
    engine.upgrade = interrupted  # type: ignore[method-assign]
    wanted("name: 'm:5000/p:broken', alias: a", "name: 'm:5000/p:plain', alias: b")
    capsys.readouterr()
    assert run(FILE) == 4
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "",
        "a:latest: rolled back: interrupted",
        "    now: installed from m:5000/p:plain, enabled",
        "b:latest: not done",
    ]


def test_a_mistake_in_the_file_changes_nothing(engine: FakeEngine, capsys: pytest.CaptureFixture[str]):
    wanted("name: 'm:5000/p:plain'", "name: 'm:5000/p:1', alias: a, settings: {B: 1}")
    assert run(FILE) == 2
    said = "error: plugins.yaml:3: settings.B: the plugin has no such setting; its settings are: A, data; fix: "
    assert capsys.readouterr().err.startswith(said)
    assert run([*FILE, "--grant", "sha256:1"]) == 2
    assert engine.calls == []


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]):
    assert run(["host", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == host_file_schema()
