"""``plugin-mirror reload`` against records of servers."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mirror.app.configuration.server_record import RunningServer, pid_namespace, recorded
from mirror.cli.command_line import run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()


@contextmanager
def running(refusal: str = "", waiting: tuple[str, ...] = ()) -> Iterator[None]:
    """Be a server that ends each reload in this way."""
    hung_up = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: hung_up.set())
    server = RunningServer(os.getpid(), pid_namespace(), ("127.0.0.1:5000",), has_tls=False)
    with recorded(Path("data"), server, print) as record:

        def reload() -> None:
            hung_up.wait(60)
            record.reload_begins(1)
            record.reload_ended(1, refusal, waiting)

        thread = threading.Thread(target=reload)
        thread.start()
        try:
            yield
        finally:
            hung_up.set()
            thread.join()
            signal.signal(signal.SIGHUP, before)


def test_the_settings_are_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with running(waiting=("server.listen", "server.workers")):
        assert run(["reload", "--data", "data"]) == 0
    told = capsys.readouterr()
    assert told.out == "127.0.0.1:5000: configuration reloaded\n"
    assert told.err == "warning: 127.0.0.1:5000: server.listen, server.workers: the change waits for a restart\n"


def test_the_settings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with running("c.yaml: servr: unknown key\nc.yaml: log: unknown key"):
        assert run(["reload", "--data", "data"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: 127.0.0.1:5000 keeps its last settings: c.yaml: servr: unknown key",
        "error: 127.0.0.1:5000 keeps its last settings: c.yaml: log: unknown key",
    ]


def test_a_wrong_configuration_does_not_matter_if_the_data_folder_is_named() -> None:
    Path("wrong.yaml").write_text("servr: {}")
    with running():
        assert run(["reload", "--data", "data", "--config", "wrong.yaml"]) == 0


def test_the_data_folder_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.yaml").write_text("storage: {path: data}")
    with running():
        assert run(["reload", "--config", "c.yaml", "--json"]) == 0
    (server,) = json.loads(capsys.readouterr().out)["servers"]
    assert (server["address"], server["succeeded"], server["waits_for_restart"]) == ("127.0.0.1:5000", True, [])


def test_no_server_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reload", "--data", "data"]) == 1
    assert capsys.readouterr().err.startswith("error: no server runs on the data folder data; fix: ")
