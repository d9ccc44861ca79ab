"""The service runner: readiness, early exit, stopping, crashing."""

import os
import sys
from pathlib import Path

import pytest

from tests.harness.ports import free_port
from tests.harness.process import Service, ServiceFailedError
from tests.harness.readiness import http_answers, tcp_accepts, wait_until


def server(port: int) -> list[str]:
    return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_service_runs_inside_the_block(tmp_path: Path) -> None:
    port = free_port()
    ask = http_answers(f"http://127.0.0.1:{port}/")
    with Service(server(port), log=tmp_path / "log", ready=ask, folder=tmp_path) as service:
        pid = service.pid
        assert pid is not None
        assert os.getpgid(pid) == pid
        assert service.running()
        assert tcp_accepts("127.0.0.1", port)()
    assert not is_alive(pid)
    assert not tcp_accepts("127.0.0.1", port)()
    assert "GET / HTTP/1.1" in (tmp_path / "log").read_text()


def test_a_crashed_service_starts_again_and_keeps_its_log(tmp_path: Path) -> None:
    with Service(
        [sys.executable, "-c", "import time; print('hello', flush=True); time.sleep(600)"], log=tmp_path / "log"
    ) as service:
        service.kill()
        assert service.pid is None
        assert not service.running()
        service.start()
        service.stop()
        assert service.stop() is None


def test_an_early_end_is_told_with_the_log(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import sys; sys.exit('no such luck')"]
    service = Service(program, log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(ServiceFailedError, match=r"(?s)exit code 1\n.*no such luck"):
        service.start()
    assert service.pid is None


def test_a_silent_service_is_given_up_and_ended(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    service = Service(program, log=tmp_path / "log", ready=lambda: False, start_timeout_seconds=0.2)
    with pytest.raises(ServiceFailedError, match=r"timed out after 0\.2 s"):
        service.start()
    assert service.pid is None


def test_children_of_the_group_and_those_deaf_to_sigterm_end_too(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & echo $! > child; while :; do sleep 60; done"
    child = tmp_path / "child"
    with Service(
        ["sh", "-c", script],
        log=tmp_path / "log",
        ready=lambda: child.exists() and child.read_text() != "",
        folder=tmp_path,
        stop_timeout_seconds=0.2,
    ) as service:
        pid = int(child.read_text())
        assert service.stop() == -9
    # init reaps the orphan at some time. Until then the orphan is a zombie, which does not run.
    wait_until(lambda: not is_alive(pid) or " Z " in Path(f"/proc/{pid}/stat").read_text(), "its end")


def test_waiting_in_vain_names_what_was_awaited() -> None:
    with pytest.raises(TimeoutError, match="for the moon"):
        wait_until(lambda: False, "the moon", timeout_seconds=0.05)
