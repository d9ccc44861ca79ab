"""Plugins whose cooldown has ended: they are judged again, so that lists and alerts do not show them as held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog

from mirror.admission.plugin_judge import PluginJudge
from mirror.oci.errors import ClientFault, MirrorError
from mirror.plugin.policy.policy_action import COOLDOWN
from mirror.records.admission.admissions import Admission
from mirror.records.admission.arrivals import Arrivals
from mirror.records.admission.verdicts import PluginBlobs
from mirror.registry.port import Registry
from mirror.runtime.clock import Clock

_LOG = structlog.get_logger(__name__)

_PERIOD_SECONDS: Final = 600.0


class MaturedPlugins:
    """Judges plugins again whose cooldown has ended. Requests do the same, so this only brings records up to date.

    Args:
        registry: registry of the plugins.
        held: returns the plugins that are held.
        plugins: finds their manifests.
        arrivals: sources of plugins.
        judge: admission controller.
        clock: source of the current time.
    """

    def __init__(
        self,
        registry: Registry,
        held: Callable[[], Awaitable[Sequence[Admission]]],
        plugins: PluginBlobs,
        arrivals: Arrivals,
        *,
        judge: PluginJudge,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._held = held
        self._plugins = plugins
        self._arrivals = arrivals
        self._judge = judge
        self._clock = clock

    async def run(self, cooldown: timedelta) -> None:
        """Judge matured plugins every ten minutes, until cancelled."""
        while True:
            try:
                await self.judge_matured(cooldown)
            except MirrorError as error:
                _LOG.warning("plugins after their cooldown not judged", error=str(error), **error.detail)
            await asyncio.sleep(_PERIOD_SECONDS)

    async def judge_matured(self, cooldown: timedelta) -> None:
        """Judge the plugins whose cooldown has ended.

        Raises:
            StorageFault: the records cannot be read or written.
        """
        for admission in await self._held():
            if admission.verdict is None or admission.verdict.rule != COOLDOWN:
                continue
            repository, digest = admission.repository, admission.digest
            sight = await self._arrivals.first_sight(repository, digest)
            if sight is not None and self._clock.now() < sight.seen_at + cooldown:
                continue
            manifest = await self._plugins.plugin(repository, digest)
            if manifest is not None:
                with suppress(ClientFault):  # content that has not arrived: a request judges the plugin later
                    await self._judge.assess(self._registry, repository, manifest)
