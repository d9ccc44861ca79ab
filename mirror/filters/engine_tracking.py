"""Tracking of the engines that pull plugins: counts, hosts and log lines for engines with a known vulnerability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Final

import structlog

from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, Exposure, KnownEngines
from mirror.records.hosts import Host
from mirror.runtime.clock import Clock
from mirror.runtime.metrics.shared_metrics import MetricFamily, MetricKind, WorkerSlot
from mirror.wire.client_address import LONGEST_ADDRESS
from mirror.wire.user_agent import Engine

_LOG = structlog.get_logger(__name__)

PULLS: Final = MetricFamily(
    "plugin_mirror_plugin_pulls_total",
    "Requests of Docker engines for plugin manifests, by CVE and by whether the engine is affected by it.",
    MetricKind.COUNTER,
    ("cve", "engine"),
    [(UNCOMPARED_PRIVILEGE.identifier, exposure.value) for exposure in Exposure],
)

#: Bounds on the hosts waiting to be recorded, in total and for one network. Further hosts are skipped this time. The
#: key is taken from requests, so clients can make up any number; one network can only fill its own part (ADR 21).
MOST_WAITING: Final = 2_000
MOST_WAITING_OF_A_NETWORK: Final = 500
#: Bound on the hosts logged on one day.
MOST_TOLD: Final = 10_000


def pull_counter(slot: WorkerSlot) -> Callable[[Exposure], None]:
    """Return a function that counts pulls of plugins in a serving process."""
    counters = {one: slot.counter(PULLS, UNCOMPARED_PRIVILEGE.identifier, one.value) for one in Exposure}
    return lambda exposure: counters[exposure].add()


class EngineTracker:
    """Tracks pulls of plugins in memory. :meth:`flush` records the hosts, all at once.

    Memory is bounded, however many addresses and versions clients make up. A process that dies loses the hosts tracked
    within the last minute.

    Args:
        record: stores the hosts durably.
        counted: called with the exposure of the engine for every pull.
        clock: source of the current time.
        known: decides which engines are affected.
        tells: True to log hosts whose engine is or may be affected, once a day each.
    """

    def __init__(
        self,
        record: Callable[[Mapping[Host, datetime]], Awaitable[None]],
        counted: Callable[[Exposure], None],
        clock: Clock,
        *,
        known: KnownEngines,
        tells: bool,
    ) -> None:
        self._record = record
        self._counted = counted
        self._clock = clock
        self._known = known
        self._tells = tells
        self._waiting: dict[Host, datetime] = {}
        self._of_network: Counter[str] = Counter()
        self._day = date.min
        self._told: set[Host] = set()

    def pulled(self, engine: Engine, address: str) -> Exposure:
        """Track an engine's request for the manifest of a plugin.

        Args:
            engine: engine as described by its request.
            address: address of the client.

        Returns:
            Exposure of the engine to CVE-2026-33997.
        """
        exposure = _exposure(self._known, engine.version)
        self._counted(exposure)
        host, now = _host(address[:LONGEST_ADDRESS], engine), self._clock.now()
        if host is not None:
            self._note(host, now)
            if self._tells and exposure is not Exposure.UNAFFECTED:
                self._tell(host, exposure, now.date())
        return exposure

    async def flush(self) -> None:
        """Record the hosts tracked so far. If recording fails, they stay tracked."""
        # Exchange the dictionary first: pulls that arrive while the record is written go into the new one.
        waiting, self._waiting, self._of_network = self._waiting, {}, Counter()
        if not waiting:
            return
        try:
            await self._record(waiting)
        except BaseException:  # cancellation as well
            # A newer time of the same host wins. The bounds apply again.
            for host, at in waiting.items():
                self._note(host, self._waiting.get(host, at))
            raise

    def _note(self, host: Host, at: datetime) -> None:
        if host not in self._waiting:
            network = host.network
            if len(self._waiting) >= MOST_WAITING or self._of_network[network] >= MOST_WAITING_OF_A_NETWORK:
                return
            self._of_network[network] += 1
        self._waiting[host] = at

    def _tell(self, host: Host, exposure: Exposure, day: date) -> None:
        if day != self._day:
            self._day, self._told = day, set()
        if host in self._told or len(self._told) >= MOST_TOLD:
            return
        self._told.add(host)
        _LOG.warning(
            "possibly vulnerable engine pulled a plugin",
            client=host.address,
            engine=host.engine,
            os=host.os,
            architecture=host.architecture,
            cve=UNCOMPARED_PRIVILEGE.identifier,
            exposure=exposure.value,
            fix=UNCOMPARED_PRIVILEGE.remedy,
        )
        if len(self._told) == MOST_TOLD:
            _LOG.warning("engine hosts no longer logged today", count=MOST_TOLD, see="/api/v1/hosts")


# The same hosts come again and again. Parsing address and version each time would take longer than everything else
# here.
_host = lru_cache(maxsize=1024)(Host.of)
_exposure = lru_cache(maxsize=256)(KnownEngines.exposure)
