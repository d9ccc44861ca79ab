"""A client that takes nothing is ended, and one that is slow but steady is not. The tests move the clock."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import cast
from unittest.mock import ANY

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mirror.registry.memory import MemoryRegistry
from mirror.server.http.activity import Activity
from mirror.server.http.answer_watch import STEADY_FACTOR, AnswerPace, AnswerProgress, AnswerWatch, SentData
from mirror.server.http.client_connection import ClientConnection
from mirror.server.http.server_limits import ServerLimits
from tests.support.clocks import HandClock
from tests.support.served import REPOSITORY, put_blob, served
from tests.support.waiting import until

STEADY, SLOW, STALLED, SILENT = AnswerPace.STEADY, AnswerPace.SLOW, AnswerPace.STALLED, AnswerPace.SILENT
IDLE_SECONDS = 60.0
LEAST = 1024.0
KIB = 1024


def pending(acknowledged_bytes: int) -> SentData:
    """Return the state of a connection whose client has closed its window, and answers probes."""
    return SentData(acknowledged_bytes, is_pending=True, sent_segments=9, heard_seconds=1.0)


def taken(acknowledged_bytes: int) -> SentData:
    return SentData(acknowledged_bytes, is_pending=False, sent_segments=9, heard_seconds=1.0)


def paces(looks: list[tuple[float, SentData]], least: float = LEAST) -> list[AnswerPace]:
    progress = AnswerProgress(IDLE_SECONDS, least)
    return [progress.looked(seen, now_seconds) for now_seconds, seen in looks]


@pytest.mark.parametrize(
    ("looks", "last"),
    [
        # Nothing is left to take.
        ([(0, taken(9)), (1000, taken(9))], STEADY),
        # A client that never reads: only its receive buffer was filled.
        ([(0, pending(30 * KIB)), (59, pending(30 * KIB))], STEADY),
        ([(0, pending(30 * KIB)), (61, pending(30 * KIB))], STALLED),
        # A larger buffer earns a second for each KiB.
        ([(0, pending(100 * KIB)), (99, pending(100 * KIB))], STEADY),
        ([(0, pending(100 * KIB)), (101, pending(100 * KIB))], STALLED),
        # A client that has taken much may rest for 15 minutes, and not longer.
        ([(0, pending(0)), (1, pending(KIB**3)), (900, pending(KIB**3))], STEADY),
        ([(0, pending(0)), (1, pending(KIB**3)), (902, pending(KIB**3))], STALLED),
        # curl --limit-rate 64K: it takes 6.4 MB in the first second, and nothing for 100 s.
        ([(0, pending(0)), (1, pending(6_400_000)), (100, pending(6_400_000)), (101, pending(6_500_000))], STEADY),
        # A client that takes less than the least rate is slow, and is not stalled.
        ([(0, pending(1)), (50, pending(2)), (100, pending(3))], SLOW),
        # What was taken of an earlier answer does not count.
        ([(0, pending(KIB**3)), (1, taken(KIB**3)), (2, pending(KIB**3)), (63, pending(KIB**3))], STALLED),
        ([(0, pending(KIB)), (50, taken(KIB)), (61, pending(KIB)), (110, pending(KIB))], STEADY),
    ],
)
def test_a_client_is_judged_by_the_bytes_that_it_acknowledged(
    looks: list[tuple[float, SentData]], last: AnswerPace
) -> None:
    assert paces(looks)[-1] is last


@pytest.mark.parametrize(
    ("looks", "last"),
    [
        # (time, segments sent, time of the last acknowledgement)
        # The cable is cut at 0: the kernel repeats its segment.
        ([(0, 9, 0), (5, 13, 0), (64, 17, 0)], STEADY),
        ([(0, 9, 0), (5, 13, 0), (65, 17, 0)], SILENT),
        # The client is full, and answers the probes, whose intervals grow to two minutes.
        ([(0, 9, 0), (5, 10, 3), (50, 10, 3), (100, 10, 3), (105, 11, 103), (200, 11, 103)], STEADY),
        # A look between a probe and its answer proves nothing.
        ([(0, 9, 0), (100, 9, 0), (105, 10, 0), (110, 10, 106), (200, 10, 106)], STEADY),
        # The cable of a full client is cut.
        ([(0, 9, 0), (100, 9, 0), (105, 10, 0), (165, 10, 0)], SILENT),
        # An answer comes late.
        ([(0, 9, 0), (5, 13, 0), (60, 17, 59), (65, 18, 65), (110, 18, 65)], STEADY),
    ],
)
def test_a_client_that_acknowledges_no_segment_is_silent(
    looks: list[tuple[float, int, float]], last: AnswerPace
) -> None:
    assert paces([(at, SentData(KIB**3, True, segments, at - heard)) for at, segments, heard in looks])[-1] is last


def test_an_old_acknowledgement_was_not_due_before_data_was_sent() -> None:
    after_rest = [(at, SentData(KIB, at >= 500, 10, float(at))) for at in (0, 500, 505, 510)]
    assert set(paces(after_rest)) == {STEADY}


def test_without_a_least_rate_only_standing_still_counts() -> None:
    looks = [(50.0 * step, pending(step + 1)) for step in range(100)]
    assert set(paces(looks, least=0)) == {STEADY}
    assert paces([(0, pending(1)), (901, pending(1))], least=0)[-1] is STALLED


@given(
    rate=st.integers(2 * KIB, 1024 * KIB),
    window=st.integers(4 * KIB, 1024 * KIB),
    period=st.floats(1, 5),
)
def test_a_steady_reader_is_never_ended(rate: int, window: int, period: float) -> None:
    """A reader empties its buffer at a rate, and opens its window only when the buffer is empty."""
    progress = AnswerProgress(IDLE_SECONDS, LEAST)
    for step in range(400):
        now_seconds = step * period
        acknowledged_bytes = window * (1 + int(now_seconds * rate / window))
        assert progress.looked(pending(acknowledged_bytes), now_seconds) is STEADY
        if window / rate > STEADY_FACTOR * IDLE_SECONDS:
            return  # a buffer of hours


# Short, because the watch looks four times in this time. The clock of the judgement is the test's.
LIMITS = ServerLimits(idle_seconds=0.4, connections=2, shutdown_seconds=20)


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_client_that_reads_nothing_is_ended_and_the_log_says_so(is_encrypted: bool) -> None:
    clock, registry = HandClock(), MemoryRegistry()
    theirs, ours = contexts() if is_encrypted else (None, None)
    digest = await put_blob(registry, bytes(32 * 1024 * 1024))
    with capture_logs() as lines:
        async with served(registry, LIMITS, now_seconds=clock.monotonic_seconds, tls=theirs) as server:
            server.tls = ours
            async with server.connect() as client:
                # asyncio's reader reads 128 KiB and then no more.
                await client.send("GET", f"/v2/{REPOSITORY}/blobs/{digest}")
                await until(lambda: server.activity.stalling.count or clock.advance(hours=1))
                await until(lambda: not server.activity.connections.count)
    told = [line["reason"] for line in lines if line["event"] == "download given up"]
    assert told == ["the client took no data for 0.4 s or longer"]
    assert [line["limit"] for line in lines if line["event"] == "client refused"] == ["server.limits.idle_seconds"]
    assert "client disconnected during a download" not in {line["event"] for line in lines}


async def test_a_client_that_leaves_answers_unread_is_ended() -> None:
    """Its requests are answered completely, so no handler waits for the client."""
    clock, registry = HandClock(), MemoryRegistry()
    digest = await put_blob(registry, bytes(1024 * 1024))
    async with served(registry, LIMITS, now_seconds=clock.monotonic_seconds) as server, server.connect() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send("GET", f"/v2/{REPOSITORY}/blobs/{digest}")
        await until(lambda: server.activity.stalling.count or clock.advance(hours=1))
        await until(lambda: not server.activity.connections.count)


class FakeConnection:
    """A connection whose state a test sets. It is its own transport and socket."""

    def __init__(self) -> None:
        self.transport = self
        self.acknowledged_bytes = 0
        self.ended_because = ""

    def get_extra_info(self, name: str) -> FakeConnection:
        assert name == "socket"
        return self

    def getsockopt(self, level: int, option: int, size_bytes: int) -> bytes:
        """Return a `struct tcp_info` with unsent data."""
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        info = bytearray(size_bytes)
        struct.pack_into("=Q", info, 120, self.acknowledged_bytes)
        struct.pack_into("=I", info, 144, 1000)
        return bytes(info)

    def end(self, reason: str) -> None:
        self.ended_because = reason


async def test_a_slow_client_is_ended_only_while_others_wait() -> None:
    clock, connection, limits = HandClock(), FakeConnection(), ServerLimits(connections=8)
    activity = Activity.within(limits, clock.monotonic_seconds)
    watch = AnswerWatch(activity, limits)
    watch.add(cast("ClientConnection", connection), "192.0.2.7")

    async def minutes(number: int) -> None:
        for _ in range(number):
            await watch.look()
            clock.advance(seconds=59)
            connection.acknowledged_bytes += 100

    await minutes(10)
    assert not connection.ended_because
    for _ in range(7):
        activity.connections.arrived("192.0.2.8")
    await minutes(1)
    assert connection.ended_because == "the client took less than 1024 bytes/s while others waited"
    assert (activity.dawdling.count, activity.stalling.count) == (1, 0)


async def test_a_connection_that_has_left_is_not_looked_at() -> None:
    clock, connection, limits = HandClock(), FakeConnection(), ServerLimits()
    watch = AnswerWatch(Activity.within(limits, clock.monotonic_seconds), limits)
    watch.add(cast("ClientConnection", connection), "192.0.2.7")
    await watch.look()
    watch.remove(cast("ClientConnection", connection))
    clock.advance(hours=1)
    await watch.look()
    assert not connection.ended_because


def test_the_kernel_tells_what_a_client_acknowledged() -> None:
    """The fields of the kernel's structure are read at their places."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as server,
    ):
        assert SentData.on(server) == (0, False, 0, ANY)
        server.setblocking(False)
        sent_bytes = 0
        with suppress(BlockingIOError):
            while True:
                sent_bytes += server.send(bytes(64 * KIB))
        full = SentData.on(server)
        assert full is not None
        assert full.is_pending
        assert 0 < full.acknowledged_bytes < sent_bytes
        client.setblocking(True)
        left_bytes = sent_bytes
        while left_bytes:
            left_bytes -= len(client.recv(left_bytes))
        while (empty := SentData.on(server)) and empty.is_pending:
            pass
        assert empty is not None
        assert empty.acknowledged_bytes == sent_bytes
        assert empty.sent_segments > 1
    with socket.socket(socket.AF_UNIX) as no_tcp:
        assert SentData.on(no_tcp) is None


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.configure_trust(ours)
    return theirs, ours
