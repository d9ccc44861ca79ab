"""Numbers of one upstream, in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mirror.oci.timestamps import machine_time
from mirror.upstream.limits.circuit_breaker import BreakerState
from mirror.wire.rate_limit import RateLimit


@dataclass(frozen=True, slots=True)
class HostState:
    """One host that was asked: the upstream's own, its token server, or one that it sent us to.

    Attributes:
        host: ``scheme://host[:port]``.
        breaker: whether it is asked at all.
        since: when it began to be left alone; None: it is not.
        why: the failure that led to it.
    """

    host: str
    breaker: BreakerState
    since: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class UpstreamStats:
    """Counts since the upstream was opened.

    Attributes:
        name: the upstream's name.
        offline: whether it is never asked.
        requests: HTTP requests sent, redirects and tokens included.
        received_bytes: bytes of bodies.
        paced_seconds: how long requests and transfers have waited for our own limits.
        tokens: tokens that were given.
        failures: how often, by the reason that the error class gives.
        quota: what the upstream said last of how much may be asked; None: nothing.
        rest_seconds: how long it still wants to be left alone.
        hosts: its hosts; the upstream's own is the first.
    """

    name: str
    offline: bool
    requests: int
    received_bytes: int
    paced_seconds: float
    tokens: int
    failures: Mapping[str, int]
    quota: RateLimit | None
    rest_seconds: float
    hosts: tuple[HostState, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        quota = self.quota
        return {
            "offline": self.offline,
            "requests": self.requests,
            "received_bytes": self.received_bytes,
            "failures": dict(self.failures),
            "rest_seconds": self.rest_seconds,
            "quota": None if quota is None else {"limit": quota.limit, "remaining": quota.remaining},
            "hosts": [
                {
                    "host": host.host,
                    "breaker": host.breaker.value,
                    "since": machine_time(host.since),
                    "why": host.why,
                }
                for host in self.hosts
            ],
        }
