"""Policy for one upstream: timeouts, retries, limits and circuit breaker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path

from mirror.runtime.retry_policy import RetryPolicy
from mirror.upstream.limits.bandwidth import BandwidthWindow
from mirror.upstream.limits.circuit_breaker import BreakerThresholds


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds. A transfer has no total deadline.

    Attributes:
        connect_seconds: longest wait for a connection, including name resolution and TLS.
        read_seconds: longest wait between two chunks, in either direction.
    """

    connect_seconds: float = 10
    read_seconds: float = 60


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Limits on the use of an upstream.

    Attributes:
        connections: concurrent requests of this process, at least 2.
        requests_per_second: None: no limit.
        bandwidth: limits of received bytes by time of day; empty: no limit.
        zone: time zone of ``bandwidth``.
        shared_folder: folder in which processes share ``requests_per_second`` and ``bandwidth``; None: the limits apply
            to this process alone.
    """

    connections: int = 64
    requests_per_second: float | None = None
    bandwidth: tuple[BandwidthWindow, ...] = ()
    zone: tzinfo = UTC
    shared_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class ListBounds:
    """Bounds on a list of tags or repositories, over all pages.

    The largest known repositories have about 100 000 tags. Registries return 50 to 1000 tags per page, or all at once.
    The bounds are at least twice as large. Google's registries describe every manifest in the list of tags, in about
    300 bytes.

    Attributes:
        entries: most names, including invalid and repeated names.
        pages: most pages.
        page_bytes: most bytes of one page.
        whole_bytes: most bytes of all pages.
        seconds: longest time until the request for the last page.
    """

    entries: int = 200_000
    pages: int = 4_000
    page_bytes: int = 16 * 1024 * 1024
    whole_bytes: int = 64 * 1024 * 1024
    seconds: float = 1800

    @classmethod
    def of(cls, entries: int) -> ListBounds:
        """Return bounds for a list of ``entries`` names: at least 50 names per page and at most 320 bytes per name."""
        usual = cls()
        return cls(
            entries,
            # 80 bytes an entry on one page keep the ratio of the defaults: 16 MiB for 200 000 entries.
            pages=max(usual.pages, entries // 50),
            page_bytes=max(usual.page_bytes, entries * 80),
            whole_bytes=max(usual.whole_bytes, entries * 320),
            seconds=max(usual.seconds, entries / 100),
        )


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """The policy for one upstream.

    Attributes:
        timeouts: deadlines.
        retry: retries after temporary failures.
        thresholds: thresholds of the circuit breaker of each host.
        limits: limits on the use of the upstream.
        lists: bounds of lists.
        offline: True if the upstream is never contacted.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    thresholds: BreakerThresholds = field(default_factory=BreakerThresholds)
    limits: UpstreamLimits = field(default_factory=UpstreamLimits)
    lists: ListBounds = field(default_factory=ListBounds)
    offline: bool = False
