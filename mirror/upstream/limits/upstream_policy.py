"""The policy towards one upstream: timeouts, retries, limits, and when it is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path

from mirror.runtime.retry_policy import RetryPolicy
from mirror.upstream.limits.bandwidth import BandwidthWindow
from mirror.upstream.limits.circuit_breaker import BreakerThresholds


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds. There is none for a transfer in all.

    Attributes:
        connect_seconds: the longest wait for a connection, name resolution and TLS included.
        read_seconds: the longest wait between two pieces, in either direction.
    """

    connect_seconds: float = 10
    read_seconds: float = 60


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Limits on the use of an upstream.

    Attributes:
        connections: requests at the same time, in this process; 2 or more.
        requests_per_second: None: as many as it takes.
        bandwidth: bytes a second that are read, by the time of day; empty: as fast as it goes.
        zone: on whose clock ``bandwidth`` is meant.
        shared_folder: where processes that share ``requests_per_second`` and ``bandwidth`` keep count; None: the
            limits hold for this process alone.
    """

    connections: int = 64
    requests_per_second: float | None = None
    bandwidth: tuple[BandwidthWindow, ...] = ()
    zone: tzinfo = UTC
    shared_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class ListBounds:
    """Bounds on a list of tags or repositories, over all its pages.

    The largest repositories that are known of have about 100 000 tags, and registries give 50 to 1000 of them a page,
    or all at once. The bounds are at least twice that. Google's registries describe every manifest in the list of tags,
    in some 300 bytes.

    Attributes:
        entries: names, those that nobody can ask for and those that are there again included.
        pages: answers.
        page_bytes: bytes of one page.
        whole_bytes: bytes of all pages.
        seconds: how long it may take until the last page is asked for.
    """

    entries: int = 200_000
    pages: int = 4_000
    page_bytes: int = 16 * 1024 * 1024
    whole_bytes: int = 64 * 1024 * 1024
    seconds: float = 1800

    @classmethod
    def of(cls, entries: int) -> ListBounds:
        """Bounds of a list of so many entries: 50 or more on a page, 320 bytes or fewer for each."""
        usual = cls()
        return cls(
            entries,
            pages=max(usual.pages, entries // 50),
            page_bytes=max(usual.page_bytes, entries * 80),
            whole_bytes=max(usual.whole_bytes, entries * 320),
            seconds=max(usual.seconds, entries / 100),
        )


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """The whole policy.

    Attributes:
        timeouts: deadlines.
        retry: how often what may pass is tried.
        thresholds: when one of its hosts is left alone.
        limits: how hard it may be used.
        lists: how long its lists may be.
        offline: whether it is never asked.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    thresholds: BreakerThresholds = field(default_factory=BreakerThresholds)
    limits: UpstreamLimits = field(default_factory=UpstreamLimits)
    lists: ListBounds = field(default_factory=ListBounds)
    offline: bool = False
