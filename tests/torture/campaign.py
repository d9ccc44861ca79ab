"""Rounds of load, kill, start and check."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.harness.mirror import Mirror
from tests.harness.process import ServiceFailedError
from tests.torture import register
from tests.torture.client import SHARED_REPOSITORY, SHARED_TAG, Client
from tests.torture.connection import Connection
from tests.torture.inspection import expire, inspect, leftovers
from tests.torture.model import BrokenPromise
from tests.torture.pulled import PULLED_REPOSITORY
from tests.torture.reading import Reading
from tests.torture.register import Move
from tests.torture.report import Report
from tests.torture.steps import work
from tests.torture.upkeep import COLLECT, COLLECTION, KINDS, Upkeep

_LOAD_SECONDS = (0.05, 0.9)
_POLL_SECONDS = 0.01
_WORKER_KILL_CHANCE = 0.25
_START_KILL_CHANCE = 0.1
_COMMAND_CHANCE = 0.15
_UPKEEP_CHANCE = 0.25  # of each kind
_UPKEEP_SECONDS = 1.5  # a process takes about as long to start
_EXPIRY_ROUNDS = 5


class Campaign:
    """A server, its clients, and their knowledge of the server's state.

    Args:
        mirror: Running server, which is killed and started again.
        clients: Number of clients that work at the same time.
        pulls: True if the clients pull through content of `pulled`.
        seed: Seed of all choices. A seed repeats the work and not the exact run, since requests may reach the server in
            another order.

    Attributes:
        mirror: The server.
        report: Figures of the campaign so far.
    """

    def __init__(self, mirror: Mirror, *, clients: int, seed: int, pulls: bool = False) -> None:
        self.report = Report()
        self.mirror = mirror
        self._choices = random.Random(seed)
        self._upkeep = Upkeep(mirror, self._choices, self.report)
        self._pulls = pulls
        self._shared = Move(None, time.monotonic(), time.monotonic())
        self._clients = [Client(number, random.Random(f"{seed} {number}")) for number in range(clients)]

    def run(self, kills: int, progress: Callable[[str], None]) -> None:
        """Kill the server `kills` times, and check its state after each start.

        Args:
            kills: Number of kills.
            progress: Called with a line of text after each round.

        Raises:
            BrokenPromise: If the server lost, invented or damaged something.
        """
        began = time.monotonic()
        number = 0
        while self.report.kills.total() < kills:
            number += 1
            self._load_and_kill()
            # Recovery happens during a start and must survive a kill, too.
            if self._choices.random() < _START_KILL_CHANCE:
                self._kill_while_starting()
            self._start()
            self.check()
            if number % _EXPIRY_ROUNDS == 0:
                self.expire()
                self.collect()
                self._upkeep.restore()
            self.report.seconds = time.monotonic() - began
            progress(
                f"{self.report.kills.total()} kills, {self.report.acknowledged.total()} changes acknowledged, "
                f"{self.report.checked_bytes / 1e9:.2f} GB checked, {self.report.seconds:.0f} s"
            )
        self.expire()
        self.collect()

    def load(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Let all clients work for a time.

        Args:
            seconds: Time from the first acknowledged change until `meanwhile` is called.
            meanwhile: Called while the clients still work, for example to kill the server.
        """
        stopped = threading.Event()
        with ThreadPoolExecutor(len(self._clients)) as threads:
            working = [
                threads.submit(work, client, self.mirror, stopped, pulls=self._pulls) for client in self._clients
            ]
            try:
                # A slow machine must not be killed before it has done anything.
                while not any(client.acknowledged for client in self._clients) and not all(map(Future.done, working)):
                    time.sleep(_POLL_SECONDS)
                time.sleep(seconds)
                meanwhile()
            finally:
                stopped.set()
        for client in working:
            client.result()
        for client in self._clients:
            self.report.acknowledged += client.acknowledged
            client.acknowledged.clear()

    def check(self) -> None:
        """Compare the served content and the files on disk with the knowledge of the clients."""
        with ThreadPoolExecutor(len(self._clients)) as threads:
            for checked_bytes in threads.map(self._check_client, self._clients):
                self.report.checked_bytes += checked_bytes
        with Connection(self.mirror.port) as connection:
            reading = Reading(connection)
            self._check_shared(reading)
            self._check_catalog(reading)
            self.report.checked_bytes += reading.checked_bytes
        self.report.inspected_bytes += inspect(self.mirror.data).size_bytes

    def expire(self) -> None:
        """Let every upload session expire. No temporary file may remain afterwards."""
        self.report.expired += asyncio.run(expire(self.mirror.data))
        if left := leftovers(self.mirror.data):
            raise BrokenPromise(f"files of expired uploads remain: {left}")
        for client in self._clients:
            client.left_open = None

    def collect(self) -> None:
        """Collect in an idle registry without open uploads. Nothing that no tag needs may remain."""
        self._expect_a_collection()
        self.mirror.command(*COLLECT)
        self.report.upkeep[COLLECTION] += 1
        self.check()
        for client in self._clients:
            for repository in client.repositories:
                if spare := repository.spare(client.needs):
                    raise BrokenPromise(f"{repository.name}: a collection has left {sorted(spare)}")

    def _expect_a_collection(self) -> None:
        for client in self._clients:
            for repository in client.repositories:
                repository.may_be_collected(client.needs)

    def _load_and_kill(self) -> None:
        command = self._choices.random() < _COMMAND_CHANCE
        before, after = (self._choices.uniform(*_LOAD_SECONDS) for _ in range(2))
        only_worker = self._choices.random() < _WORKER_KILL_CHANCE
        upkeep = [kind for kind in KINDS if self._choices.random() < _UPKEEP_CHANCE]
        if COLLECTION in upkeep:
            self._expect_a_collection()
        with ThreadPoolExecutor(1) as threads, self._upkeep.beside(upkeep):
            listing = threads.submit(self.mirror.command, "ls", "--json") if command else None

            def kill() -> None:
                # After the kill of one worker, the supervisor and the other workers continue for a while.
                if only_worker:
                    self._kill_worker()
                    time.sleep(after)
                self.mirror.kill()
                self.report.kills["server"] += 1

            self.load(before + (_UPKEEP_SECONDS if upkeep else 0), kill)
            if listing is not None:
                listing.result()  # a reading command must succeed even if the server is killed meanwhile
                self.report.commands += 1

    def _kill_worker(self) -> None:
        children = Path(f"/proc/{self.mirror.pid}/task/{self.mirror.pid}/children").read_text().split()
        if children:
            os.kill(int(self._choices.choice(children)), signal.SIGKILL)
            self.report.kills["worker"] += 1

    def _kill_while_starting(self) -> None:
        # start() blocks until the server is ready, so the kill comes from another thread.
        timer = threading.Timer(self._choices.uniform(0.05, 0.8), self._kill_group)
        timer.start()
        with suppress(ServiceFailedError):
            self.mirror.start()
        timer.join()
        self.mirror.kill()
        self.report.kills["starting"] += 1

    def _kill_group(self) -> None:
        pid = self.mirror.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _start(self) -> None:
        began = time.monotonic()
        self.mirror.start()
        self.report.start_seconds.append(time.monotonic() - began)

    def _check_client(self, client: Client) -> int:
        with Connection(self.mirror.port) as connection:
            reading = Reading(connection)
            for repository in client.repositories:
                manifests = [manifest for manifest, _ in client.images]
                state = reading.state(repository.name, client.blobs, manifests)
                self.report.outcomes[repository.found(state)] += 1
            return reading.checked_bytes

    def _check_shared(self, reading: Reading) -> None:
        moves = [self._shared, *(move for client in self._clients for move in client.moves)]
        wanted = {move.value for move in register.may_be_last(moves)}
        found = reading.tag(SHARED_REPOSITORY, SHARED_TAG)
        if found not in wanted:
            raise BrokenPromise(f"the shared tag points to {found}, but only {wanted} are possible")
        # The repository has no blobs: without the tag it is not listed, and exists only if the tag ever did.
        tags = reading.tags(SHARED_REPOSITORY, absent=None if found is None else False)
        if tags != ([] if found is None else [SHARED_TAG]):
            raise BrokenPromise(f"{SHARED_REPOSITORY} has unexpected tags: {tags}")
        # The value is certain now, so earlier moves no longer matter.
        now = time.monotonic()
        self._shared = Move(found, now, now)
        for client in self._clients:
            client.moves.clear()

    def _check_catalog(self, reading: Reading) -> None:
        repositories = [one for client in self._clients for one in client.repositories]
        listed = [one.name for one in repositories if all(state.is_listed for state in one.possible)]
        found = [name for name in reading.catalog() if name not in {SHARED_REPOSITORY, PULLED_REPOSITORY}]
        if found != sorted(listed):
            raise BrokenPromise(f"the catalog lists {found}, but the repositories with content are {sorted(listed)}")
