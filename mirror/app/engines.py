"""Engines that pull plugins: what is counted, remembered and told of them, as the settings want it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mirror.filters.engine_gate import EngineFaces
from mirror.filters.engine_watch import EngineWatch
from mirror.plugin.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, Exposure, KnownEngines, Treatment
from mirror.registry.client import Faces
from mirror.registry.hosts import SeenHost
from mirror.runtime.clock import Clock
from mirror.runtime.metrics import Family, Kind, Share
from mirror.settings import Settings
from mirror.store.registry import Store

PULLS: Final = Family(
    "plugin_mirror_plugin_pulls_total",
    "Manifests of plugins that engines have asked for and may have, by whether the engine has a vulnerability.",
    Kind.COUNTER,
    ("cve", "engine"),
    [(UNCOMPARED_PRIVILEGE.identifier, exposure.value) for exposure in Exposure],
)


class Engines:
    """The engines that pull plugins from a process that serves.

    Args:
        settings: what follows for affected ones.
        store: remembers hosts.
        share: counts pulls.
        clock: tells the time.
    """

    def __init__(self, settings: Settings, store: Store, share: Share, clock: Clock) -> None:
        treatment = settings.admission.engines.cve
        self._known = settings.admission.engines.known()
        figures = {one: share.figure(PULLS, UNCOMPARED_PRIVILEGE.identifier, one.value) for one in Exposure}
        self._store = store
        self._watch = EngineWatch(
            store.records.hosts.record_hosts,
            lambda exposure: figures[exposure].add(),
            clock,
            known=self._known,
            tells=treatment is not Treatment.ALLOW,
        )
        self.faces: Faces = EngineFaces(self._watch, treatment)

    async def keep_up(self) -> None:
        """Record hosts every minute, until cancelled, and then once more."""
        await self._watch.keep_up()

    async def report(self) -> Mapping[str, object]:
        """``/api/v1/hosts``. What this process has noted is in it; what others have noted, up to a minute later."""
        await self._watch.flush()
        return {"hosts": [_as_json(seen, self._known) for seen in await self._store.records.hosts.hosts()]}


def _as_json(seen: SeenHost, known: KnownEngines) -> dict[str, object]:
    host = seen.host
    return {
        "address": host.address,
        "engine": host.engine or None,
        "platform": f"{host.os}/{host.architecture}" if host.os and host.architecture else None,
        "first_seen": seen.first_seen.isoformat(timespec="seconds"),
        "last_seen": seen.last_seen.isoformat(timespec="seconds"),
        "cves": {UNCOMPARED_PRIVILEGE.identifier: known.exposure(host.engine).value},
    }
