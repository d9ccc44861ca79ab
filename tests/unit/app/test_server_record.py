"""Records of running servers in their data folder, and requests to reload."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.app.configuration import server_record
from mirror.app.configuration.reload_request import reload_servers
from mirror.app.configuration.server_record import RunningServer, pid_namespace, recorded, running_servers
from mirror.oci.errors import StorageFault


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path / "data"


def server(pid: int = 0, namespace: str | None = None) -> RunningServer:
    space = pid_namespace() if namespace is None else namespace
    return RunningServer(pid or os.getpid(), space, ("127.0.0.1:5000",), has_tls=False)


def raise_it(error: StorageFault) -> None:
    raise error


def test_a_server_is_found_as_long_as_it_runs(root: Path) -> None:
    assert running_servers(root) == {}
    with recorded(root, server(), raise_it), recorded(root, server(), raise_it) as second:
        second.reload_begins(1)
        second.reload_ended(1, "x" * 100_000, ["server.listen"])
        first, changed = sorted(running_servers(root).values(), key=lambda each: each.ended)
        assert first == server()
        assert (changed.begun, changed.ended, changed.waiting) == (1, 1, ("server.listen",))
        assert set(changed.refusal) == {"x"}
        (mode,) = {stat.S_IMODE(file.stat().st_mode) for file in running_servers(root)}
        assert mode == 0o600
    assert list((root / "locks").iterdir()) == []


def test_the_record_of_a_dead_server_counts_for_nothing_and_is_removed(root: Path) -> None:
    child = os.fork()
    if not child:
        record = recorded(root, server(), raise_it)
        record.__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list((root / "locks").iterdir())) == 1
    assert running_servers(root) == {}
    with recorded(root, server(), raise_it):
        assert len(list((root / "locks").iterdir())) == 1


def test_a_server_that_cannot_be_recorded_works_without(root: Path) -> None:
    (root / "locks").write_text("not a folder")
    told: list[StorageFault] = []
    with recorded(root, server(), told.append) as record:
        record.reload_begins(1)
    assert f"record the server in {root}" in str(told[0])


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"addresses": 5, "waiting": []}'])
def test_a_record_that_is_not_ours_is_no_server(root: Path, text: bytes) -> None:
    with recorded(root, server(), raise_it):
        (file,) = (root / "locks").iterdir()
        file.write_bytes(text)
        assert running_servers(root) == {}


@pytest.fixture
def hangups() -> Iterator[threading.Event]:
    """Receive SIGHUP in this process."""
    received = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: received.set())
    yield received
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("refusal", "waiting"), [("", ()), ("", ("server.listen",)), ("c.yaml: unknown key", ())])
def test_a_request_waits_for_the_reload_after_the_one_under_way(
    root: Path, hangups: threading.Event, refusal: str, waiting: tuple[str, ...]
) -> None:
    with recorded(root, server(), raise_it) as record:
        record.reload_begins(1)  # may have read the file before it was changed

        def reload() -> None:
            hangups.wait(60)
            record.reload_ended(1, "an earlier one", [])
            record.reload_begins(2)
            record.reload_ended(2, refusal, waiting)

        thread = threading.Thread(target=reload)
        thread.start()
        (outcome,) = reload_servers(root, 60)
        thread.join()
    assert (outcome.refusal, outcome.waiting) == (refusal, waiting)


def test_a_server_that_does_not_answer(root: Path, hangups: threading.Event) -> None:
    with recorded(root, server(), raise_it):
        (outcome,) = reload_servers(root, 0.01)
    assert outcome.refusal == "the server did not answer within 0.01 s, and may still reload; fix: see its log"
    assert hangups.is_set()


def test_a_process_id_of_another_container_gets_no_signal(root: Path, hangups: threading.Event) -> None:
    with recorded(root, server(namespace="pid:[1]"), raise_it):
        (outcome,) = reload_servers(root, 60)
    assert "runs in another container; fix: " in outcome.refusal
    assert not hangups.is_set()


def test_a_server_that_ends_instead(root: Path, hangups: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorded(root, server(), raise_it):
        monkeypatch.setattr("mirror.app.configuration.reload_request.find_server", lambda _file: None)
        (outcome,) = reload_servers(root, 60)
    assert outcome.refusal.startswith("the server has ended meanwhile")


def test_no_server_runs(root: Path) -> None:
    assert reload_servers(root, 60) == []
    assert server_record.running_servers(root / "missing") == {}
