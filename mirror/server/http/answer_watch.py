"""Watch over the connections of a process for clients that take nothing of their answers.

No timeout of the kernel does this. ``TCP_USER_TIMEOUT`` also ends a client that reads slowly: while the receive buffer
of the client is full, the kernel only sends probes, and the time of all probes counts. So the bytes acknowledged by
the client decide (docs/adr/0042).
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from enum import Enum, auto
from typing import Final, NamedTuple, Self

from mirror.server.http.activity import Activity
from mirror.server.http.client_connection import ClientConnection
from mirror.server.http.server_limits import ServerLimits

#: A client that has been steady may take nothing for this many times ``idle_seconds``. A large receive buffer opens
#: again only when a sixteenth of it is free, and ``curl --limit-rate`` reads for a moment and then rests for 100 s.
STEADY_FACTOR: Final = 15
_LONGEST_PERIOD_SECONDS: Final = 5.0
_LOOKS_PER_LIMIT: Final = 4
#: Connections looked at before other tasks run.
_TURN: Final = 64
# Fields of Linux's struct tcp_info: tcpi_unacked, tcpi_last_ack_recv (ms), tcpi_bytes_acked, tcpi_segs_out,
# tcpi_notsent_bytes.
_TCP_INFO: Final = struct.Struct("=24xI28xI60xQ8xI4xI")


class SentData(NamedTuple):
    """State of the data sent on a connection.

    Attributes:
        acknowledged_bytes: bytes acknowledged by the client since the connection began.
        is_pending: True if the client has not acknowledged all data.
        sent_segments: segments sent to the client, also repetitions and probes. A reachable client acknowledges them.
        heard_seconds: seconds since the last acknowledgement.
    """

    acknowledged_bytes: int
    is_pending: bool
    sent_segments: int
    heard_seconds: float

    @classmethod
    def on(cls, connection: socket.socket) -> Self | None:
        """Return the state of a connection, or None if the kernel does not tell it."""
        try:
            known = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            unacknowledged, heard_milliseconds, acknowledged_bytes, sent_segments, unsent_bytes = _TCP_INFO.unpack(
                known
            )
        except (OSError, struct.error):
            return None
        return cls(acknowledged_bytes, bool(unacknowledged or unsent_bytes), sent_segments, heard_milliseconds / 1000)


class AnswerPace(Enum):
    """The way in which a client takes its answer."""

    #: The client takes its answer, or there is nothing to take.
    STEADY = auto()
    #: The client takes less than the least rate.
    SLOW = auto()
    #: The client takes nothing.
    STALLED = auto()
    #: The client has acknowledged neither data nor probes.
    SILENT = auto()


class AnswerProgress:
    """Progress of one client in taking what it is sent, judged by looks at the connection. Performs no I/O.

    Each acknowledged byte earns time at the least rate, up to :data:`STEADY_FACTOR` times ``idle_seconds``. A client
    that was steady may therefore pause, and a client that never read anything is found soon.

    Args:
        idle_seconds: longest time in which a client takes nothing.
        least_bytes_per_second: rate below which a client is slow; 0 for none.
    """

    __slots__ = (
        "_acknowledged_bytes",
        "_acknowledged_segments",
        "_earned_seconds",
        "_idle_seconds",
        "_is_pending",
        "_least",
        "_looked_at",
        "_moved_at",
        "_pending_at",
        "_unanswered_at",
    )

    def __init__(self, idle_seconds: float, least_bytes_per_second: float) -> None:
        self._idle_seconds = idle_seconds
        self._least = least_bytes_per_second
        self._acknowledged_bytes = self._acknowledged_segments = 0
        self._earned_seconds = 0.0
        self._is_pending = False
        self._pending_at = self._moved_at = self._looked_at = 0.0
        self._unanswered_at: float | None = None

    def looked(self, seen: SentData, now_seconds: float) -> AnswerPace:
        """Take the state at a time, and return the pace of the client."""
        taken_bytes = seen.acknowledged_bytes - self._acknowledged_bytes
        self._acknowledged_bytes = seen.acknowledged_bytes
        if seen.is_pending and not self._is_pending:
            self._pending_at = self._moved_at = self._looked_at = now_seconds
            self._acknowledged_segments = seen.sent_segments
            self._earned_seconds, self._unanswered_at = 0.0, None
        self._is_pending = seen.is_pending
        if not seen.is_pending:
            return AnswerPace.STEADY
        self._listen(seen, now_seconds)
        self._earn(taken_bytes, now_seconds)
        self._looked_at = now_seconds
        if self._unanswered_at is not None and now_seconds - self._unanswered_at >= self._idle_seconds:
            return AnswerPace.SILENT
        if self._earned_seconds > 0 or now_seconds - self._pending_at < self._idle_seconds:
            return AnswerPace.STEADY
        return AnswerPace.STALLED if now_seconds - self._moved_at >= self._idle_seconds else AnswerPace.SLOW

    def _listen(self, seen: SentData, now_seconds: float) -> None:
        """Note since when the client has left a segment unanswered.

        The time of the last acknowledgement alone tells nothing: while the client is full, the kernel probes it at
        intervals that grow to two minutes.
        """
        if now_seconds - seen.heard_seconds > self._looked_at:
            self._acknowledged_segments, self._unanswered_at = seen.sent_segments, None
        elif self._unanswered_at is None and seen.sent_segments != self._acknowledged_segments:
            self._unanswered_at = now_seconds

    def _earn(self, taken_bytes: int, now_seconds: float) -> None:
        # The debt has a bound, so that a client that was slow for long can become steady again.
        self._earned_seconds = max(self._earned_seconds - (now_seconds - self._looked_at), -self._idle_seconds)
        if taken_bytes:
            self._moved_at = now_seconds
            earned = taken_bytes / self._least if self._least else math.inf
            self._earned_seconds = min(self._earned_seconds + earned, STEADY_FACTOR * self._idle_seconds)


class AnswerWatch:
    """Ends the connections of clients that take nothing, and of slow clients while others wait.

    Args:
        activity: counts the ended connections, and knows whether others wait.
        limits: the limits for clients.

    Attributes:
        limits: the limits for clients. A connection keeps those of its begin.
    """

    def __init__(self, activity: Activity, limits: ServerLimits) -> None:
        self.limits = limits
        self._activity = activity
        self._watched: dict[ClientConnection, tuple[str, AnswerProgress]] = {}

    def add(self, connection: ClientConnection, client: str) -> None:
        """Watch a connection of a client."""
        progress = AnswerProgress(self.limits.idle_seconds, self.limits.least_body_bytes_per_second)
        self._watched[connection] = client, progress

    def remove(self, connection: ClientConnection) -> None:
        """Forget a connection."""
        self._watched.pop(connection, None)

    async def run(self) -> None:
        """Look at all connections every few seconds until cancelled."""
        # One timer for all connections: their requests cost nothing more.
        while True:
            await asyncio.sleep(min(_LONGEST_PERIOD_SECONDS, self.limits.idle_seconds / _LOOKS_PER_LIMIT))
            await self.look()

    async def look(self) -> None:
        """Look at all connections once, and end those whose clients take nothing."""
        for number, (connection, (client, progress)) in enumerate(list(self._watched.items()), start=1):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            if (seen := _sent_on(connection)) is not None:
                self._judge(connection, client, progress.looked(seen, self._activity.now_seconds()))

    def _judge(self, connection: ClientConnection, client: str, pace: AnswerPace) -> None:
        if pace is AnswerPace.STEADY:
            return
        idle, least = f"{self.limits.idle_seconds:g}", f"{self.limits.least_body_bytes_per_second:g}"
        if pace is AnswerPace.SLOW:
            # As a slow body, a slow answer may continue as long as nobody needs its connection.
            if not self._activity.is_crowded(client):
                return
            ended, reason = self._activity.dawdling, f"the client took less than {least} bytes/s while others waited"
        elif pace is AnswerPace.STALLED:
            ended, reason = self._activity.stalling, f"the client took no data for {idle} s or longer"
        else:
            ended, reason = self._activity.stalling, f"the client was not reachable for {idle} s"
        self.remove(connection)
        ended.add(client)
        connection.end(reason)


def _sent_on(connection: ClientConnection) -> SentData | None:
    transport = connection.transport
    return None if transport is None else SentData.on(transport.get_extra_info("socket"))
