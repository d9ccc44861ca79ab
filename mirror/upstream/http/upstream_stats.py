"""Statistics of one upstream, in one process."""

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
    """One contacted host: the upstream's own host, its token server, or a redirect target.

    Attributes:
        host: ``scheme://host[:port]``.
        breaker: state of the circuit breaker.
        since: time at which the breaker opened; None: not open.
        why: failure that opened the breaker.
    """

    host: str
    breaker: BreakerState
    since: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class UpstreamStats:
    """Counts since the upstream was opened.

    Attributes:
        name: name of the upstream.
        offline: True if the upstream is never contacted.
        requests: HTTP requests sent, including redirects and token requests.
        received_bytes: bytes of bodies received.
        paced_seconds: total time for which requests and transfers waited because of limits.
        tokens: tokens received.
        head_fallbacks: number of successful GET requests in place of HEAD, by kind of content (manifest, blob).
        failures: number of failures by the reason of the error class.
        quota: quota last reported by the upstream; None: never reported.
        rest_seconds: remaining seconds of the pause requested by the upstream.
        hosts: contacted hosts. The upstream's own host is the first.
    """

    name: str
    offline: bool
    requests: int
    received_bytes: int
    paced_seconds: float
    tokens: int
    head_fallbacks: Mapping[str, int]
    failures: Mapping[str, int]
    quota: RateLimit | None
    rest_seconds: float
    hosts: tuple[HostState, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-compatible dictionary."""
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
