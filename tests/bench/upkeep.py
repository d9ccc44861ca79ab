"""Pulls beside the upkeep of the store in the same process, against pulls without it.

All servers run during the whole case and have the same content. Those that are not measured are stopped with a signal,
so that their work does not slow the measured one.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from os import kill
from pathlib import Path
from typing import Any, Final

from tests.bench import bystanders, client, many_tags
from tests.bench.collecting import copy_store, half_deleted
from tests.bench.laps import run_laps
from tests.bench.processes import family
from tests.bench.sample import Outcome
from tests.bench.servers import OURS, Content, Contestant, Server, known, mirror
from tests.bench.trial import Trial
from tests.harness.mirror import Mirror
from tests.harness.readiness import wait_until
from tests.support import many_images

COLLECTION = f"{OURS}, collection"
SCRUB = f"{OURS}, scrub"
#: Figures: how long a client with one small request waited that comes every few milliseconds.
WORST_MS, P99_MS = "longest wait for GET /v2/, ms", "p99 of GET /v2/, ms"
#: Figure that shows that the upkeep was under way.
STEPS = "reviews decided, files removed or read meanwhile"

_CLIENTS = 4
_TAGS = 1000
_INTERVAL_MS = 5
#: Upkeep begins a minute after the start of a server.
_BEGIN_SECONDS = 150


@contextmanager
def pulls_beside(content: Content, *, garbage_files: int) -> Iterator[Trial]:
    """Yield a trial of our server without upkeep, and with each kind of upkeep under way. Counts plugins."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="upkeep-")))
        data = folder / "data"
        with mirror(content, data=data):
            many_tags.add(data, _TAGS)
        many_images.add(data, half_deleted(garbage_files))
        contestants, loads = [], {}
        for name, section in _SECTIONS.items():
            has_work = name != OURS
            copy = folder / f"data{len(contestants)}"
            copy_store(data, copy)
            storage = {"path": str(copy), "collection": {"enabled": False}, "scrub": {"every": "never"}} | section
            server = stack.enter_context(Mirror(data=copy, sections={"storage": storage}))
            pid = known(server.pid)
            if has_work:
                _wait_for_work(copy)
            _signal(pid, signal.SIGSTOP)
            stack.callback(_signal, pid, signal.SIGCONT)  # a stopped server cannot end
            contestants.append(Contestant(name, _going_on(Server(server.port, pid, data=copy), has_work=has_work)))
            loads[name] = partial(_pulls, has_work=has_work)
        yield Trial(contestants, loads[OURS], loads)


#: The section `storage` of each contestant.
_SECTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    OURS: {},
    COLLECTION: {"collection": {"bytes_grace": "0s"}},
    SCRUB: {"scrub": {"every": "1d", "rate": "20MB/s"}},
}


def _going_on(server: Server, *, has_work: bool) -> Callable[[], Any]:
    @contextmanager
    def serving() -> Iterator[Server]:
        _signal(server.pid, signal.SIGCONT)
        if has_work and server.data is not None:
            # A scrub takes the time in which it was stopped for work, and rests after it.
            _wait_for_work(server.data)
        try:
            yield server
        finally:
            _signal(server.pid, signal.SIGSTOP)

    return serving


def _signal(pid: int, number: signal.Signals) -> None:
    for each in family(pid):
        with suppress(ProcessLookupError):
            kill(each, number)


def _pulls(server: Server, seconds: int, *, has_work: bool) -> Outcome:
    """Pull a plugin by random tags with several clients, while another client sends tiny requests at fixed times."""
    if server.data is None:
        raise ValueError("the server has no data folder")
    before = _progress(server.data)

    @contextmanager
    def puller() -> Iterator[Callable[[], None]]:
        buffer = client.new_buffer()

        def pull() -> None:
            tag = many_tags.TAG_FORMAT.format(random.randrange(_TAGS))
            with server.connected() as connection:
                client.pull_plugin(connection, buffer, tag=tag)

        yield pull

    with bystanders.asking(server.port, seconds=seconds, clients=1, interval_ms=_INTERVAL_MS) as end:
        outcome = run_laps(_CLIENTS, seconds, puller).outcome(1)
        waited = end()
    if has_work:
        _wait_for_work(server.data, since=before)  # a scrub tells only every five seconds what it has read
    figures = {
        WORST_MS: 1e3 * waited.worst_seconds,
        P99_MS: 1e3 * waited.p99_seconds,
        STEPS: _progress(server.data) - before,
    }
    return replace(outcome, errors=waited.errors, figures=figures)


def _wait_for_work(data: Path, since: int | None = None) -> None:
    before = _progress(data) if since is None else since
    wait_until(lambda: _progress(data) > before, "the upkeep to begin", timeout_seconds=_BEGIN_SECONDS)


def _progress(data: Path) -> int:
    """Return a number that grows with each decision, removed file and read file."""
    with closing(sqlite3.connect(f"file:{data}/catalog.sqlite?mode=ro", uri=True, timeout=30)) as catalog:

        def number(sql: str) -> int:
            return int(catalog.execute(sql).fetchone()[0])

        # A blob counts twice until it is doomed, and once until its file is gone, so that the sum never grows.
        left = [number(f"SELECT count(*) FROM {table}") for table in ("reviews", "blobs", "blobs", "doomed_files")]
        read = number(
            "SELECT coalesce(sum(json_extract(state, '$.files')), 0) FROM long_work WHERE name LIKE 'scrub %'"
        )
        return read - sum(left)
