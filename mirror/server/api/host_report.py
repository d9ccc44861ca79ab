"""Report ``GET /api/v1/hosts``: Docker hosts pulling plugins, and their exposure to a known vulnerability."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mirror.oci.timestamps import machine_time
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, KnownEngines
from mirror.records.hosts import Hosts, SeenHost


@dataclass(frozen=True, slots=True)
class HostReport:
    """The report on hosts.

    Attributes:
        flush: records the hosts noted by this process. Hosts noted by other processes may appear up to a minute late.
        hosts: stores the hosts.
        known: knows which engine versions are affected.
    """

    flush: Callable[[], Awaitable[None]]
    hosts: Hosts
    known: KnownEngines

    async def give(self) -> Mapping[str, object]:
        """Return the report as plain values."""
        # Hosts are noted in memory and recorded once a minute. A host that has just pulled must be in the report.
        await self.flush()
        return {"hosts": [_as_json(seen, self.known) for seen in await self.hosts.hosts()]}


def _as_json(seen: SeenHost, known: KnownEngines) -> dict[str, object]:
    host = seen.host
    return {
        "address": host.address,
        "engine": host.engine or None,
        "platform": f"{host.os}/{host.architecture}" if host.os and host.architecture else None,
        "first_seen": machine_time(seen.first_seen),
        "last_seen": machine_time(seen.last_seen),
        "cves": {UNCOMPARED_PRIVILEGE.identifier: known.exposure(host.engine).value},
    }
