"""The promises of docs/DURABILITY.md with a real server: killed, traced, and with two servers on one data folder."""

import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.harness.command import run
from tests.harness.mirror import PROGRAM, Mirror
from tests.harness.packing import digest_of
from tests.harness.requirement import require
from tests.torture import contents, syscalls
from tests.torture.campaign import Campaign
from tests.torture.connection import Answer, Connection
from tests.torture.inspection import inspect
from tests.torture.model import Outcome
from tests.torture.register import Move, may_be_last, may_be_read

pytestmark = [pytest.mark.e2e, pytest.mark.long]

NAME = "durable/plugin"
MANIFESTS = f"/v2/{NAME}/manifests"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
INDEX = {"Content-Type": contents.INDEX_TYPE}


def tag_now(connection: Connection, tag: str, manifests: str = MANIFESTS) -> str | None:
    answer = connection.ask("GET", f"{manifests}/{tag}")
    assert answer.status in {200, 404}
    return digest_of(answer.body) if answer.status == 200 else None


def move(connection: Connection, tag: str, name: str, manifests: str = MANIFESTS) -> str:
    manifest = contents.index(name)
    assert connection.ask("PUT", f"{manifests}/{tag}", manifest.data, INDEX).status == 201
    return manifest.digest


class TestKilled:
    def test_many_kills_under_load(self, whole: bool) -> None:
        rounds = 12 if whole else 4
        seed = random.SystemRandom().randrange(10**6)
        with Mirror(workers=2) as mirror:
            campaign = Campaign(mirror, clients=4, seed=seed)
            campaign.run(rounds, progress=lambda text: print(f"seed {seed}: {text}"))
        report = campaign.report
        assert report.kills["server"] >= rounds // 2
        assert report.acknowledged.total() >= report.kills["server"]  # each kill met a server that had done something
        assert report.outcomes[Outcome.UNDONE] + report.outcomes[Outcome.DONE] > 0

    def test_kills_while_the_data_folder_is_made(self, tmp_path: Path) -> None:
        moments = random.Random(7)
        data = tmp_path / "data"
        serve = [PROGRAM, "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
        for _ in range(4):
            with suppress(TimeoutError):  # run() kills the server after the timeout
                run(serve, timeout_seconds=moments.uniform(0.3, 1.0))
            with Mirror(data=data) as mirror, Connection(mirror.port) as connection:
                assert move(connection, "1", "first") == tag_now(connection, "1")
                inspect(data)
            shutil.rmtree(data)


class Traced:
    """A server under strace.

    Attributes:
        data: Data folder.
        log: Path of the catalog's write-ahead log.
        answered: Responses of the last block, in order.
        calls: System calls of the last block.
    """

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.log = f"{self.data}/catalog.sqlite-wal"
        self.answered: list[Answer] = []
        self.calls: list[syscalls.Call] = []
        self._trace = folder / "trace"

    @contextmanager
    def serving(self) -> Iterator[Callable[..., Answer]]:
        """Serve inside the block and yield a function for requests.

        `answered` and `calls` are complete after the block.
        """
        self.answered.clear()
        # --seccomp-bpf stops the server only at traced calls, and -y shows the path of each descriptor.
        strace = ["strace", "-f", "-y", "--seccomp-bpf", "-s", "300", "-o", str(self._trace)]
        with Mirror(data=self.data, wrapper=[*strace, "-e", f"trace={syscalls.TRACED}"]) as mirror:
            with Connection(mirror.port) as connection:

                def ask(status: int, *request: object) -> Answer:
                    answer = connection.ask(*request)  # type: ignore[arg-type] # as ask takes them
                    assert answer.status == status
                    self.answered.append(answer)
                    return answer

                yield ask
            mirror.stop()
        self.calls = syscalls.parse(self._trace.read_text())

    @property
    def acknowledgements(self) -> list[syscalls.Call]:
        """System calls that sent the responses in `answered`."""
        sent = syscalls.answers(self.calls)[-len(self.answered) :]
        assert [status for status, _ in sent] == [answer.status for answer in self.answered]
        return [call for _, call in sent]

    def blob(self, content: contents.Content) -> str:
        name = content.digest.removeprefix("sha256:")
        return f"{self.data}/blobs/sha256/{name[:2]}/{name}"


class TestWatched:
    """The order of system calls.

    Data in the page cache survives kill -9 but not a power loss, so killing the server cannot show a missing sync. The
    order of the calls can.
    """

    @pytest.fixture
    def traced(self, tmp_path: Path) -> Traced:
        require(None if shutil.which("strace") else "strace is not installed (Debian: apt-get install strace)")
        return Traced(tmp_path)

    def test_content_is_durable_before_it_is_acknowledged(self, traced: Traced) -> None:
        single, chunked, whole = (contents.blob(name, 2_500_000) for name in ("single", "chunked", "whole"))
        index = contents.index("1")
        with traced.serving() as ask:
            location = ask(202, "POST", UPLOADS, b"").headers["location"]
            ask(201, "PUT", f"{location}?digest={single.digest}", single.data)
            location = ask(202, "POST", UPLOADS, b"").headers["location"]
            ask(202, "PATCH", location, chunked.data[:1_500_000])
            ask(202, "PATCH", location, chunked.data[1_500_000:])
            ask(201, "PUT", f"{location}?digest={chunked.digest}", b"")
            ask(201, "POST", f"{UPLOADS}?digest={whole.digest}", whole.data)
            ask(201, "PUT", f"{MANIFESTS}/1", index.data, INDEX)
            ask(201, "PUT", f"{MANIFESTS}/{index.digest}", index.data, INDEX)

        acknowledged = [call for call in traced.acknowledgements if call.texts[0].startswith("HTTP/1.1 201")]
        for content, answer in zip([single, chunked, whole, index, index], acknowledged, strict=True):
            syscalls.require_content_order(traced.calls, traced.blob(content), traced.log, answer)

    def test_rows_are_durable_before_they_are_acknowledged(self, traced: Traced) -> None:
        blob, index = contents.blob("mounted", 1_000), contents.index("1")
        with traced.serving() as ask:
            ask(201, "POST", f"{UPLOADS}?digest={blob.digest}", blob.data)
            ask(201, "POST", f"/v2/another/blobs/uploads/?mount={blob.digest}&from={NAME}", b"")
            ask(201, "PUT", f"{MANIFESTS}/1", index.data, INDEX)
            ask(202, "DELETE", f"{MANIFESTS}/1")
            ask(202, "DELETE", f"{MANIFESTS}/{index.digest}")
            ask(202, "DELETE", f"/v2/{NAME}/blobs/{blob.digest}")

        acknowledged = traced.acknowledgements
        for earlier, answer in pairwise(acknowledged):
            syscalls.require_log_order(traced.calls, traced.log, earlier, answer)

    def test_the_log_has_a_lasting_name_before_anything_is_acknowledged(self, traced: Traced) -> None:
        for number in range(2):  # with a new folder, and with a cleanly closed one, which has no log any more
            with traced.serving() as ask:
                ask(201, "PUT", f"{MANIFESTS}/{number}", contents.index(str(number)).data, INDEX)
            syscalls.require_name_order(traced.calls, traced.log, traced.acknowledgements[-1])
            assert not Path(traced.log).exists()


class TestShared:
    """Two servers and the command line at work on one data folder."""

    @pytest.fixture
    def servers(self, mirror: Mirror) -> Iterator[tuple[Mirror, Mirror]]:
        sections = {
            "upstreams": {"up": {"url": mirror.url, "plain_http": True}},
            "mirrors": [{"name": "all", "from": f"up/{NAME}", "to": "mirrored"}],
        }
        with Mirror(workers=2, sections=sections) as first, Mirror(workers=2, data=first.data) as second:
            yield first, second

    def test_no_update_is_lost_under_mixed_load(self, servers: tuple[Mirror, Mirror], mirror: Mirror) -> None:
        """Each writer moves its own tags, at both servers in turn, while rules and listings run."""
        first, second = servers
        final: dict[str, str | None] = {}
        writing = threading.Event()

        def write(writer: int) -> None:
            with Connection(first.port) as one, Connection(second.port) as other:
                for number in range(24):
                    here, there = (one, other) if number % 2 else (other, one)
                    tag = f"{writer}-{number % 4}"
                    moved = move(here, tag, f"{writer} {number}")
                    assert tag_now(there, tag) == moved  # the other server knows the tag in the very next request
                    assert tag_now(here, tag) == moved
                    final[tag] = moved
                    if number % 5 == 4:
                        assert there.ask("DELETE", f"{MANIFESTS}/{tag}").status == 202
                        assert tag_now(here, tag) is None
                        final[tag] = None

        def command() -> int:
            runs = 0
            with Connection(mirror.port) as source, Connection(first.port) as one, Connection(second.port) as other:
                while not writing.is_set() or runs < 2:
                    moved = move(source, "latest", f"upstream {runs}")
                    first.command("sync")
                    for connection in (one, other):
                        assert tag_now(connection, "latest", "/v2/mirrored/manifests") == moved
                    (row,) = json.loads(second.command("ls", "mirrored", "--json").stdout)
                    assert row["digest"] == moved
                    runs += 1
            return runs

        with ThreadPoolExecutor(5) as threads:
            commands = threads.submit(command)
            try:
                list(threads.map(write, range(4)))
            finally:
                writing.set()
            assert commands.result() >= 2

        for server in servers:
            with Connection(server.port) as connection:
                assert {tag: tag_now(connection, tag) for tag in final} == final
                listed = json.loads(connection.ask("GET", f"/v2/{NAME}/tags/list").body)["tags"]
                assert listed == sorted(tag for tag, digest in final.items() if digest is not None)
        inspect(first.data)

    def test_competing_movers_of_one_tag(self, servers: tuple[Mirror, Mirror]) -> None:
        """Every read at either server must find a move that no acknowledged move has overtaken."""
        moves: list[Move] = []
        reads: list[tuple[str | None, float, float]] = []
        stopped = threading.Event()

        def mover(number: int) -> None:
            with Connection(servers[number % 2].port) as connection:
                for turn in range(20):
                    name = f"mover {number}, turn {turn}"
                    asked = time.monotonic()
                    value = move(connection, "contested", name)
                    moves.append(Move(value, asked, time.monotonic()))

        def reader(mirror: Mirror) -> None:
            with Connection(mirror.port) as connection:
                while not stopped.is_set():
                    asked = time.monotonic()
                    value = tag_now(connection, "contested")
                    reads.append((value, asked, time.monotonic()))

        with ThreadPoolExecutor(6) as threads:
            reading = [threads.submit(reader, mirror) for mirror in servers]
            try:
                list(threads.map(mover, range(4)))
            finally:
                stopped.set()
            for one in reading:
                one.result()

        known = [Move(None, -1, -1), *moves]
        wrong = [read for read in reads if not may_be_read(known, *read)]
        assert wrong == []
        assert len({value for value, _, _ in reads}) > 20
        last = set()
        for mirror in servers:
            with Connection(mirror.port) as connection:
                last.add(tag_now(connection, "contested"))
        assert len(last) == 1
        assert last <= {move.value for move in may_be_last(moves)}

    def test_a_deletion_is_seen_by_the_next_request_to_the_other(self, servers: tuple[Mirror, Mirror]) -> None:
        with Connection(servers[0].port) as one, Connection(servers[1].port) as other:
            for number in range(10):
                here, there = (one, other) if number % 2 else (other, one)
                blob = contents.blob(f"deleted {number}", 2_000)
                path = f"/v2/{NAME}/blobs/{blob.digest}"
                assert here.ask("POST", f"{UPLOADS}?digest={blob.digest}", blob.data).status == 201
                assert [side.ask("HEAD", path).status for side in (there, here)] == [200, 200]
                assert here.ask("DELETE", path).status == 202
                assert [side.ask("HEAD", path).status for side in (there, here)] == [404, 404]

                manifest = move(here, "gone", f"deleted {number}")
                assert [tag_now(side, "gone") for side in (there, here)] == [manifest, manifest]
                assert there.ask("DELETE", f"{MANIFESTS}/{manifest}").status == 202
                assert [tag_now(side, "gone") for side in (here, there)] == [None, None]
